//! The command line. Switches bear the same names in scenarios and in the docs.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

pub const HELP: &str = "\
  --kubeconfig PATH                whom to talk to, and as whom
  --metrics-bind-address HOST:PORT serve /metrics, /healthz and /readyz there; 0 serves nothing (default: 0)
  --namespace NAME                 watch only what is in there (default: all namespaces)
  --kube 0.91|current              which kube: 0.91.0 gathers the initial list and hands it over as one Restarted(Vec),
                                   the current one hands on each object as it comes (default: current)
  --watch_list on|off              have the initial objects sent by the watch (StreamingList), without a list (default: off)
  --page_size N                    objects for each list request; 0: all in one; not with watch_list (default: 500)
  --store on|off                   keep the objects in a reflector's store, or count and drop them (default: on)
";

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kube {
    V091,
    Current,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub kubeconfig: PathBuf,
    pub namespace: Option<String>,
    pub metrics: Option<SocketAddr>,
    pub kube: Kube,
    pub watch_list: bool,
    pub page_size: Option<u32>,
    pub store: bool,
}

impl fmt::Display for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kube = if self.kube == Kube::V091 { "0.91" } else { "current" };
        let word = |on| if on { "on" } else { "off" };
        let (watch_list, page_size) = (word(self.watch_list), self.page_size.unwrap_or(0));
        write!(out, "kube={kube} watch_list={watch_list} page_size={page_size} store={}", word(self.store))
    }
}

/// What the arguments say; None where help was asked for. An error is one line.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut kubeconfig = None;
    let mut found = Options {
        kubeconfig: PathBuf::new(),
        namespace: None,
        metrics: None,
        kube: Kube::Current,
        watch_list: false,
        page_size: Some(500),
        store: true,
    };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        if matches!(argument.as_str(), "--help" | "-h") {
            return Ok(None);
        }
        let (name, given) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument.clone(), None),
        };
        let known = [
            "--kubeconfig",
            "--namespace",
            "--metrics-bind-address",
            "--kube",
            "--watch_list",
            "--page_size",
            "--store",
        ];
        if !known.contains(&name.as_str()) {
            return Err(format!("there is no switch {argument:?}"));
        }
        let value = given.or_else(|| arguments.next()).ok_or_else(|| format!("{name} has no value"))?;
        let wrong = |of: &str| format!("{name} {value:?} is not {of}");
        match name.as_str() {
            "--kubeconfig" => kubeconfig = Some(PathBuf::from(&value)),
            "--namespace" => found.namespace = Some(value.clone()).filter(|name| !name.is_empty()),
            "--metrics-bind-address" if value == "0" => found.metrics = None,
            "--metrics-bind-address" => {
                found.metrics = Some(value.parse().map_err(|_| wrong("an IP address and a port"))?)
            }
            "--kube" => {
                found.kube = match value.as_str() {
                    "0.91" => Kube::V091,
                    "current" => Kube::Current,
                    _ => return Err(wrong("one of 0.91, current")),
                }
            }
            "--page_size" => {
                let size: u32 = value.parse().map_err(|_| wrong("a whole number of 0 or more"))?;
                found.page_size = (size > 0).then_some(size);
            }
            "--watch_list" => found.watch_list = switch(&value).ok_or_else(|| wrong("one of on, off"))?,
            _ => found.store = switch(&value).ok_or_else(|| wrong("one of on, off"))?,
        }
    }
    found.kubeconfig = kubeconfig.ok_or("--kubeconfig is missing")?;
    Ok(Some(found))
}

/// `on` and `off`, and what YAML makes of them.
fn switch(value: &str) -> Option<bool> {
    match value {
        "on" | "true" => Some(true),
        "off" | "false" => Some(false),
        _ => None,
    }
}
