//! Which addresses may be asked for what a request names: the registries of special addresses of IANA (RFC 6890) as a list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far a host may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On the public internet.
    Public,
    /// At a site of ours too: behind addresses that the internet does not know.
    Site,
}

/// Private addresses of our own ground: RFC 1918, shared address space, this machine.
const OWN_V4: [(Ipv4Addr, u32); 5] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];
/// What nobody's host has: this network, link-local, protocol assignments, documentation, 6to4 relays, benchmarks, multicast,
/// reserved; and 100.100.100.200, at which a cloud tells its machines their keys.
const NOBODYS_V4: [(Ipv4Addr, u32); 11] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];
/// Unique local addresses, and this machine.
const OWN_V6: [(Ipv6Addr, u32); 2] = [
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::LOCALHOST, 128),
];
/// Global unicast. Outside of it lie v4-mapped addresses, NAT64, link-local, site-local and multicast.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Inside of it: protocol assignments (Teredo among them), documentation, 6to4; and where a cloud tells its machines their keys.
const NOBODYS_V6: [(Ipv6Addr, u32); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
];

/// Whether a host that is so far away may have this address.
pub fn is_reachable(ip: IpAddr, reach: Reach) -> bool {
    let at_site = reach == Reach::Site;
    match ip {
        IpAddr::V4(ip) => {
            let within = |(net, bits): &(Ipv4Addr, u32)| {
                (ip.to_bits() ^ net.to_bits()).leading_zeros() >= *bits
            };
            !NOBODYS_V4.iter().any(within) && (at_site || !OWN_V4.iter().any(within))
        }
        IpAddr::V6(ip) => {
            let within = |(net, bits): &(Ipv6Addr, u32)| {
                (ip.to_bits() ^ net.to_bits()).leading_zeros() >= *bits
            };
            let known = within(&GLOBAL_V6) || (at_site && OWN_V6.iter().any(within));
            known && !NOBODYS_V6.iter().any(within)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 \
        192.167.0.1 211.45.1.1 223.255.255.255 2001:200::1 2400:cb00::1 2606:4700::1111";
    const OWN: &str = "10.0.0.1 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.254 172.16.0.1 \
        172.31.255.255 192.168.0.1 ::1 fc00::1 fdff::1";
    const NOBODYS: &str = "0.0.0.0 0.1.2.3 169.254.169.254 100.100.100.200 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 \
        198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: \
        ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1 2001:10::1 \
        2001:1ff:ffff::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 3fff:fff::1 4000::1 5f00::1 \
        fd00:ec2::254 fe80::1 febf::1 fec0::1 ff02::1";

    fn check(reach: Reach, expected: bool, addresses: &str) {
        for text in addresses.split_whitespace() {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(is_reachable(ip, reach), expected, "{text} {reach:?}");
        }
    }

    /// CVE-2026-55245: a list that forgot shared address space, 6to4 and NAT64.
    #[test]
    fn only_public_addresses_are_public() {
        check(Reach::Public, true, PUBLIC);
        check(Reach::Site, true, PUBLIC);
        check(Reach::Public, false, OWN);
        check(Reach::Site, true, OWN);
        check(Reach::Public, false, NOBODYS);
        check(Reach::Site, false, NOBODYS);
    }
}
