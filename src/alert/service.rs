//! Which service an alert is about.
//!
//! 1. The first of [`SERVICE_LABELS`], then of [`HINT_LABELS`], whose value the catalogue knows gives the canonical name.
//! 2. Else the first of [`SERVICE_LABELS`] that is there gives the name as it came. `job` is last, since it names what
//!    Prometheus scrapes, which often is an exporter; see [`only_from_job`].
//! 3. Else the name is empty.

use std::collections::BTreeMap;

use crate::core::Tainted;

/// Labels (Zabbix tags, too) that name a service, best first. Case does not matter.
pub const SERVICE_LABELS: [&str; 7] =
    ["service", "service_name", "app", "application", "app_kubernetes_io_name", "app.kubernetes.io/name", "job"];

/// Labels that may carry a name the catalogue knows, but are no service's name by themselves.
pub const HINT_LABELS: [&str; 6] = ["deployment", "statefulset", "daemonset", "container", "workload", "host"];

/// The catalogue's names, as far as alerts need them.
pub trait Names: Send + Sync {
    /// The canonical name of the service that goes by `name`.
    fn canonical(&self, name: &str) -> Option<String>;
}

/// No catalogue: every name stays as it came.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn canonical(&self, _: &str) -> Option<String> {
        None
    }
}

/// The service's name by the rules above; `named` is what the message names outright, before any label.
pub(super) fn name(named: Option<&str>, labels: &BTreeMap<String, String>, names: &dyn Names) -> String {
    let label = |wanted: &str| {
        labels
            .get(wanted)
            .or_else(|| labels.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value))
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    };
    let named = named.map(str::trim).filter(|name| !name.is_empty());
    if let Some(named) = named {
        return names.canonical(named).unwrap_or_else(|| named.to_owned());
    }
    SERVICE_LABELS
        .into_iter()
        .chain(HINT_LABELS)
        .find_map(|wanted| label(wanted).and_then(|value| names.canonical(value)))
        .or_else(|| SERVICE_LABELS.into_iter().find_map(|wanted| label(wanted).map(str::to_owned)))
        .unwrap_or_default()
}

/// Whether nothing but the scrape job names the service: such a name holds for every host of the job, so grouping by
/// it alone would make one incident of a whole fleet.
#[must_use]
pub fn only_from_job(labels: &BTreeMap<String, Tainted>) -> bool {
    let has = |wanted: &str| labels.keys().any(|name| name.eq_ignore_ascii_case(wanted));
    has("job") && !SERVICE_LABELS.into_iter().filter(|name| *name != "job").any(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shop;
    impl Names for Shop {
        fn canonical(&self, name: &str) -> Option<String> {
            ["orders", "order-service"].contains(&name.to_lowercase().as_str()).then(|| "order-service".to_owned())
        }
    }

    fn named(labels: &[(&str, &str)]) -> String {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        name(None, &labels, &Shop)
    }

    #[test]
    fn the_catalogue_decides_and_else_the_label_as_it_came() {
        assert_eq!(named(&[("service", "Orders"), ("job", "node")]), "order-service");
        assert_eq!(named(&[("job", "node"), ("deployment", "orders")]), "order-service");
        assert_eq!(named(&[("job", "node"), ("app", "shop")]), "shop");
        assert_eq!(named(&[("Service", "checkout")]), "checkout");
        assert_eq!(named(&[("job", "node")]), "node");
        assert_eq!(named(&[("host", "web-01")]), "");
    }
}
