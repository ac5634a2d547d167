//! Command native-rust watches all Secrets with kube-rs: with kube 0.91, which gathers the initial list before it hands it
//! over, or with a current one, which hands on each object as it comes. It reads only. It is what a Rust controller
//! written with kube-rs costs, measured by the harness as any other subject.

mod buffered;
mod options;
mod series;
mod server;
mod streaming;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::options::{HELP, Kube, Options};
use crate::series::Series;

/// Exit codes: 0 told to stop, 1 cannot start or work, 2 a wrong switch.
fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(2, &format!("{error}; --help lists the switches")),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.to_string()),
    };
    match runtime.block_on(run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    eprintln!("native-rust: {}", message.replace('\n', " "));
    ExitCode::from(code)
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let series = Arc::new(Series::default());
    if let Some(address) = options.metrics {
        server::serve(address, series.clone()).await.map_err(|error| format!("{address} cannot be served: {error}"))?;
    }
    let working = async {
        match options.kube {
            Kube::V091 => buffered::follow(&options, &series).await,
            Kube::Current => streaming::follow(&options, &series).await,
        }
    };
    tokio::select! {
        done = working => done.map_err(|error| format!("{} cannot be used: {}", options.kubeconfig.display(), all(&*error)).into()),
        _ = term.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// An error with what caused it.
fn all(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if !text.contains(&inner.to_string()) {
            text = format!("{text}: {inner}");
        }
        cause = inner.source();
    }
    text
}
