//! The host's address from a label: `10.0.0.5:9100`, `[::1]:80`, `http://10.0.0.5/metrics`. A name is no address.

use std::net::{IpAddr, SocketAddr};

/// Labels that hold a host's address, tried in this order.
pub const HOST_LABELS: [&str; 9] =
    ["host_ip", "ip", "instance", "host", "address", "node_ip", "ip_address", "node", "hostname"];

/// The address without a port; none for a name, an unspecified address (`0.0.0.0`) or anything else.
#[must_use]
pub fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    // A probe's instance is the URL it asked.
    let text = match text.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?', '#']).next().unwrap_or(rest),
        None => text,
    };
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    // `fe80::1%eth0`: the interface is of no use to anyone else.
    let bare = bare.split('%').next().unwrap_or(bare);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .filter(|address| !address.is_unspecified())
}

/// The first address that one of the labels holds.
#[must_use]
pub fn from_labels<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<IpAddr> {
    HOST_LABELS.into_iter().find_map(|name| get(name).and_then(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_loses_its_port_and_a_name_is_none() {
        let shown = |text| address(text).map(|address| address.to_string());
        assert_eq!(shown("127.0.0.1:19100").as_deref(), Some("127.0.0.1"));
        assert_eq!(shown("10.0.0.5").as_deref(), Some("10.0.0.5"));
        assert_eq!(shown("[2001:db8::7]:9100").as_deref(), Some("2001:db8::7"));
        assert_eq!(shown("2001:db8::7").as_deref(), Some("2001:db8::7"));
        assert_eq!(shown("[::1]").as_deref(), Some("::1"));
        assert_eq!(shown("fe80::1%eth0").as_deref(), Some("fe80::1"));
        assert_eq!(shown("http://10.0.0.5:8080/metrics").as_deref(), Some("10.0.0.5"));
        for name in ["web-01", "web-01:9100", "", "0.0.0.0", "300.1.1.1", "10.0.0", "1"] {
            assert_eq!(shown(name), None, "{name}");
        }
    }
}
