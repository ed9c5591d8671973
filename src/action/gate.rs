//! Which addresses an HTTP call may reach: an exact list of hosts, and never what only this machine or its cloud may ask.
//!
//! A host is checked by name and port before the call and at each redirect, and by address when its name is resolved, in
//! the resolver that the connection itself uses, so that a name can't point elsewhere between check and use.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Options, Problem};
use crate::catalog::Catalog;
use crate::core::BoxFuture;

/// Finds the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The list of hosts, and how names become addresses.
#[derive(Clone)]
pub struct Gate {
    hosts: Arc<HashSet<(String, u16)>>,
    lookup: Lookup,
}

/// A call that is not allowed; a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Gate {
    /// The gate of the options and the catalogue: the default API, the catalogue's base URLs, and the listed hosts.
    /// Mayday's own listener needs to be among the listed hosts or the default API; an entry of the catalogue is not enough.
    ///
    /// # Errors
    /// Every entry that can't be understood.
    pub fn new(options: &Options, catalog: &Catalog, own: Option<SocketAddr>) -> Result<Self, Vec<Problem>> {
        let mut hosts = HashSet::new();
        let mut wrong = Vec::new();
        for (row, service) in catalog.services().iter().enumerate() {
            match service.base_url.as_deref().map(origin) {
                Some(Ok(host)) => {
                    hosts.insert(host);
                }
                Some(Err(why)) => wrong.push(Problem::at(format!("services[{row}].base_url"), why)),
                None => {}
            }
        }
        if let Some(own) = own {
            hosts.retain(|(host, port)| *port != own.port() || !reaches(own.ip(), host));
        }
        match options.default_api.as_deref().map(origin) {
            Some(Ok(host)) => {
                hosts.insert(host);
            }
            Some(Err(why)) => wrong.push(Problem::at("actions.default_api", why)),
            None => {}
        }
        for (row, entry) in options.api_hosts.iter().enumerate() {
            match listed(entry) {
                Ok(found) => hosts.extend(found),
                Err(why) => wrong.push(Problem::at(format!("actions.api_hosts[{row}]"), why)),
            }
        }
        if wrong.is_empty() { Ok(Self { hosts: Arc::new(hosts), lookup: system_lookup() }) } else { Err(wrong) }
    }

    /// The same gate with other name resolution.
    #[must_use]
    pub fn with_lookup(self, lookup: Lookup) -> Self {
        Self { lookup, ..self }
    }

    /// Whether this URL may be asked, as far as its text tells.
    ///
    /// # Errors
    /// Why not, and what to change.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        let refuse = |why: String| Err(Refused(why));
        if !matches!(url.scheme(), "http" | "https") {
            return refuse(format!("`{}` is not http or https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("a URL with a user name in it is not called".to_owned());
        }
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let port = url.port_or_known_default().unwrap_or(0);
        if !self.hosts.contains(&(host.clone(), port)) {
            return refuse(format!(
                "{host}:{port} is not on the list of hosts; an admin can add it to actions.api_hosts"
            ));
        }
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            // Listed literally, so loopback is meant.
            Ok(address) => allowed(address, true).map_err(|why| Refused(format!("{host} is {why} and never called"))),
            Err(_) => Ok(()),
        }
    }
}

impl Resolve for Gate {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.lookup.clone();
        Box::pin(async move {
            let host = name.as_str().to_ascii_lowercase();
            let found = lookup(host.clone()).await?;
            let loopback = is_loopback_name(&host);
            // One bad address refuses all: a name that points inside is not to be trusted with its other addresses.
            for address in &found {
                allowed(*address, loopback)
                    .map_err(|why| Refused(format!("{host} resolves to {address}, {why}; it is not called")))?;
            }
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

fn system_lookup() -> Lookup {
    Arc::new(|host| {
        Box::pin(
            async move { Ok(tokio::net::lookup_host((host.as_str(), 0)).await?.map(|found| found.ip()).collect()) },
        )
    })
}

fn is_loopback_name(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether this host, by its name or address, is what listens on `own`: this machine's loopback, and each address of the
/// machine that it listens on.
fn reaches(own: IpAddr, host: &str) -> bool {
    if is_loopback_name(host) {
        return true;
    }
    match host.trim_matches(['[', ']']).parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) => address == own.to_canonical() || own.is_unspecified() && is_of_this_machine(address),
        Err(_) => own_name().is_some_and(|name| name.eq_ignore_ascii_case(host)),
    }
}

/// Only an address of this machine can be bound.
fn is_of_this_machine(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// The machine's name.
fn own_name() -> Option<String> {
    let name = sysinfo::System::host_name().unwrap_or_default();
    (!name.is_empty()).then_some(name)
}

/// Whether an address may be connected to; private networks may, since the host list decides about them.
fn allowed(address: IpAddr, loopback: bool) -> Result<(), &'static str> {
    let address = address.to_canonical();
    // Metadata services that are not link-local: Alibaba, Azure's wire server, Oracle.
    const METADATA: [Ipv4Addr; 3] =
        [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
    // AWS (metadata, time and DNS), Google, Oracle.
    const METADATA_V6: [Ipv6Addr; 5] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253),
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    ];
    let bad = match address {
        IpAddr::V4(v4) if METADATA.contains(&v4) => Some("a cloud's metadata address"),
        IpAddr::V4(v4) if v4.is_link_local() => Some("a link-local address (cloud metadata)"),
        IpAddr::V4(v4) if v4.is_broadcast() || v4.is_multicast() || v4.octets()[0] == 0 => Some("no host's address"),
        IpAddr::V6(v6) if METADATA_V6.contains(&v6) => Some("a cloud's metadata address"),
        IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80 => Some("a link-local address"),
        IpAddr::V6(v6) if v6.is_unspecified() || v6.is_multicast() => Some("no host's address"),
        // NAT64, 6to4 and SIIT (`::ffff:0:a.b.c.d`) carry an IPv4 address that the rules above must hold for.
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => return allowed(IpAddr::V4(v4), false),
            None => None,
        },
        IpAddr::V4(_) => None,
    };
    match bad {
        Some(why) => Err(why),
        None if address.is_loopback() && !loopback => Err("this machine itself"),
        None => Ok(()),
    }
}

fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b) {
        (0x64, 0xff9b) => Some(v4(g, h)),
        (0x2002, _) => Some(v4(b, c)),
        (0, 0) if c == 0 && d == 0 && e == 0xffff && f == 0 => Some(v4(g, h)),
        (0, 0) if c == 0 && d == 0 && e == 0 && f == 0 && (g, h) != (0, 1) && (g, h) != (0, 0) => Some(v4(g, h)),
        _ => None,
    }
}

/// Host and port of a base URL.
fn origin(base: &str) -> Result<(String, u16), String> {
    let url = Url::parse(base).map_err(|error| format!("`{base}` is not a URL ({error})"))?;
    match (url.scheme(), url.host_str(), url.port_or_known_default()) {
        ("http" | "https", Some(host), Some(port)) if url.username().is_empty() && url.query().is_none() => {
            Ok((host.to_ascii_lowercase(), port))
        }
        _ => Err(format!("`{base}` is not a plain http URL like http://host:8080/base")),
    }
}

/// `host` (ports 80 and 443) or `host:port`.
fn listed(entry: &str) -> Result<Vec<(String, u16)>, String> {
    let wrong = || format!("`{entry}` is not a host like api.example.com or api.example.com:8443");
    if entry.contains(['/', '@', '*', '?', '#', ' ']) {
        return Err(wrong());
    }
    let url = Url::parse(&format!("http://{entry}/")).map_err(|_| wrong())?;
    let host = url.host_str().ok_or_else(wrong)?.to_ascii_lowercase();
    // `:80` is dropped by the parser as the default of http; the text tells.
    match url.port().or_else(|| entry.ends_with(":80").then_some(80)) {
        Some(port) => Ok(vec![(host, port)]),
        None => Ok(vec![(host.clone(), 80), (host, 443)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(hosts: &[&str]) -> Gate {
        let options =
            Options { api_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), ..Options::default() };
        Gate::new(&options, &Catalog::default(), None).unwrap()
    }

    #[test]
    fn only_the_exact_host_and_port_pass() {
        let gate = gate(&["api.example.com", "10.0.0.5:8080", "127.0.0.1:9000", "[::1]:9000"]);
        for yes in [
            "https://api.example.com/x",
            "http://API.example.com/x",
            "http://10.0.0.5:8080/",
            "http://127.0.0.1:9000/",
            "http://[::1]:9000/",
            // Other spellings of the same address are the same address.
            "http://2130706433:9000/",
            "http://0x7f.1:9000/",
        ] {
            assert_eq!(gate.check(&yes.parse().unwrap()), Ok(()), "{yes}");
        }
        for no in [
            "http://api.example.com:8080/",
            "http://api.example.com.evil.org/",
            "http://evil.org/api.example.com",
            "http://api.example.com@evil.org/",
            "http://user:pw@api.example.com/",
            "http://10.0.0.5/",
            "http://127.0.0.1:9001/",
            "http://localhost:9000/",
            "ftp://api.example.com/",
            "file:///etc/passwd",
        ] {
            assert!(gate.check(&no.parse().unwrap()).is_err(), "{no}");
        }
    }

    #[test]
    fn metadata_addresses_are_refused_even_when_listed() {
        for host in [
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]",
            "[fd20:ce::254]",
            "[fd00:c1::a9fe:a9fe]",
            "[::ffff:0:169.254.169.254]",
            "0.0.0.0",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
        ] {
            let url: Url = format!("http://{host}/latest/meta-data").parse().unwrap();
            assert!(gate(&[host]).check(&url).is_err(), "{host}");
        }
    }

    #[test]
    fn a_name_may_not_point_at_this_machine_unless_it_says_so() {
        assert!(allowed("127.0.0.1".parse().unwrap(), is_loopback_name("api.example.com")).is_err());
        assert!(allowed("::ffff:127.0.0.1".parse().unwrap(), false).is_err());
        assert!(allowed("::1".parse().unwrap(), is_loopback_name("localhost")).is_ok());
        assert!(allowed("10.1.2.3".parse().unwrap(), false).is_ok());
    }

    #[test]
    fn the_own_listener_is_called_only_where_an_admin_listed_it() {
        let own: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let service =
            crate::action::testing::service("self", |service| service.base_url = Some("http://127.0.0.1:8080".into()));
        let catalog = Catalog::new(vec![service]).unwrap();
        let url: Url = "http://127.0.0.1:8080/api/v1/runs".parse().unwrap();
        assert!(Gate::new(&Options::default(), &catalog, Some(own)).unwrap().check(&url).is_err());
        let options = Options { api_hosts: vec!["127.0.0.1:8080".into()], ..Options::default() };
        assert!(Gate::new(&options, &catalog, Some(own)).unwrap().check(&url).is_ok());
    }

    #[test]
    fn the_own_listener_is_known_by_the_machines_addresses_too() {
        assert!(reaches("0.0.0.0".parse().unwrap(), "127.0.0.2"));
        assert!(reaches("10.1.2.3".parse().unwrap(), "10.1.2.3"), "the address it listens on");
        assert!(!reaches("10.1.2.3".parse().unwrap(), "10.1.2.4"));
        // 192.0.2.0/24 is nobody's.
        assert!(!reaches("0.0.0.0".parse().unwrap(), "192.0.2.1"));
        assert!(is_of_this_machine("127.0.0.1".parse().unwrap()));
        assert!(!reaches("0.0.0.0".parse().unwrap(), "api.example.com"));
        let own: SocketAddr = "10.1.2.3:8080".parse().unwrap();
        let service =
            crate::action::testing::service("self", |service| service.base_url = Some("http://10.1.2.3:8080".into()));
        let catalog = Catalog::new(vec![service]).unwrap();
        let url: Url = "http://10.1.2.3:8080/api/v1/runs".parse().unwrap();
        assert!(Gate::new(&Options::default(), &catalog, Some(own)).unwrap().check(&url).is_err());
    }

    #[test]
    fn every_entry_that_is_no_host_is_named() {
        let options = Options {
            api_hosts: vec!["*.example.com".into(), "http://x".into(), "ok:80".into()],
            default_api: Some("nonsense".into()),
            ..Options::default()
        };
        let wrong = Gate::new(&options, &Catalog::default(), None).err().unwrap();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
    }
}
