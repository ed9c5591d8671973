//! Which services to look at: the one that is said to be sick, what it calls, and who calls it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::catalog::{Catalog, Service};
use crate::core::message::diagnose as say;

/// How far down the calls go.
const DEPTH: usize = 4;

/// The services around a subject.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The subject first, then by distance.
    pub services: Vec<Looked>,
    /// Who calls whom, by name, among them.
    pub calls: BTreeMap<String, BTreeSet<String>>,
    /// What the catalogue could not tell.
    pub not_seen: Vec<String>,
}

/// One service and how to find it in the sources.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    pub name: String,
    /// Labels that select its metrics.
    pub labels: BTreeMap<String, String>,
    /// Its health check.
    pub health: Option<String>,
}

impl Scope {
    /// The services that call `service` directly.
    pub(super) fn callers<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a str> {
        self.calls.iter().filter(move |(_, called)| called.contains(service)).map(|(caller, _)| caller.as_str())
    }

    /// The services that `service` calls, directly or through others.
    pub(super) fn below(&self, service: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut next = vec![service];
        while let Some(one) = next.pop() {
            for called in self.called_by(one) {
                if found.insert(called.to_owned()) {
                    next.push(called);
                }
            }
        }
        found
    }

    /// The services that `service` calls directly.
    pub(super) fn called_by<'a>(&'a self, service: &str) -> impl Iterator<Item = &'a str> {
        self.calls.get(service).into_iter().flatten().map(String::as_str)
    }
}

pub(super) fn around(catalog: &Catalog, subject: &str, most: usize) -> Scope {
    let mut scope = Scope::default();
    let Some(service) = catalog.find(subject) else {
        scope.services.push(looked_at(subject, None));
        scope.not_seen.push(say::not_in_catalogue(subject));
        return scope;
    };
    let canonical = |name: &str| catalog.find(name).map_or_else(|| name.to_owned(), |found| found.name.clone());
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in catalog.services() {
        calls.insert(one.name.clone(), one.depends_on.iter().map(|name| canonical(name)).collect());
    }
    // Downwards breadth first, so that the bound keeps the nearest; callers last, they mostly suffer.
    let mut order = vec![service.name.clone()];
    let mut next = VecDeque::from([(service.name.clone(), 0)]);
    while let Some((name, depth)) = next.pop_front() {
        for called in calls.get(&name).into_iter().flatten() {
            if depth < DEPTH && !order.contains(called) {
                order.push(called.clone());
                next.push_back((called.clone(), depth + 1));
            }
        }
    }
    let below = order.clone();
    for (caller, called) in &calls {
        if !order.contains(caller) && called.iter().any(|one| below.contains(one)) {
            order.push(caller.clone());
        }
    }
    if order.len() > most.max(1) {
        order.truncate(most.max(1));
        scope.not_seen.push(say::scope_cut(order.len()));
    }
    scope.services = order.iter().map(|name| looked_at(name, catalog.find(name))).collect();
    calls.retain(|caller, _| order.contains(caller));
    for called in calls.values_mut() {
        called.retain(|one| order.contains(one));
    }
    scope.calls = calls;
    scope
}

fn looked_at(name: &str, service: Option<&Service>) -> Looked {
    let labels = service.map(|service| service.metrics.clone()).filter(|labels| !labels.is_empty());
    let health = service.and_then(|service| {
        let base = service.base_url.as_deref()?.trim_end_matches('/');
        let path = service.health_path.as_deref()?;
        Some(format!("{base}/{}", path.trim_start_matches('/')))
    });
    Looked {
        name: name.to_owned(),
        labels: labels.unwrap_or_else(|| BTreeMap::from([("service".to_owned(), name.to_owned())])),
        health,
    }
}
