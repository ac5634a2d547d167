//! With a current kube: each object of the initial list is handed on as it comes (`Init`, `InitApply`, `InitDone`).

use std::error::Error;
use std::pin::pin;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Api, Client, Config};

use crate::options::Options;
use crate::series::{Series, encoded};

/// Watch Secrets for ever. Fails where the kubeconfig cannot be used.
pub async fn follow(options: &Options, series: &Series) -> Result<(), Box<dyn Error>> {
    let kubeconfig = Kubeconfig::read_from(&options.kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    eprintln!("talking to {}; {options}", config.cluster_url);
    let client = Client::try_from(config)?;
    let secrets = match &options.namespace {
        Some(namespace) => Api::<Secret>::namespaced(client, namespace),
        None => Api::all(client),
    };
    let how = watcher::Config {
        page_size: options.page_size,
        initial_list_strategy: match options.watch_list {
            true => InitialListStrategy::StreamingList,
            false => InitialListStrategy::ListWatch,
        },
        ..watcher::Config::default()
    };
    let events = kube::runtime::watcher(secrets, how).default_backoff();
    if options.store {
        let (reader, writer) = reflector::store();
        series.stored_by(move || reader.len());
        take(reflector(writer, events), series).await;
    } else {
        take(events, series).await;
    }
    Ok(())
}

async fn take(events: impl Stream<Item = watcher::Result<Event<Secret>>>, series: &Series) {
    let mut events = pin!(events);
    series.begin();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => series.begin(),
            Ok(Event::InitApply(object)) => series.initial(payload(&object)),
            Ok(Event::InitDone) => series.end(),
            Ok(Event::Apply(_) | Event::Delete(_)) => series.changed(),
            Err(error) => eprintln!("watch: {error}"),
        }
    }
}

fn payload(secret: &Secret) -> u64 {
    encoded(secret.data.iter().flatten().map(|(_, value)| value.0.as_slice()))
}
