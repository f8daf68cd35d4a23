//! What a refused document is told: each table row is a text, the place, and the words.

use holm_config::parse;

/// The problems as `line:column: what; right`.
fn problems(text: &str) -> Vec<String> {
    let problems = parse(text, "f").expect_err(text);
    problems.iter().map(|p| p.to_string().trim_start_matches("f:").to_owned()).collect()
}

/// The only problem stands at `place` and says `words`.
fn refused(text: &str, place: &str, words: &str) {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    assert!(problems[0].starts_with(&format!("{place}: ")), "{text}\n{}", problems[0]);
    assert!(problems[0].contains(words), "{text}\n{}", problems[0]);
}

fn accepted(text: &str) {
    assert_eq!(parse(text, "f").err(), None, "{text}");
}

#[test]
fn all_problems_are_told_at_once_and_in_order() {
    let text = "[node]\nhostnme = \"a\"\n[network]\ndns = [\"x\", 5]\n[bogus]\n[log]\nfiles = 0\n";
    let told = problems(text);
    assert_eq!(told.len(), 5, "{told:#?}");
    assert_eq!(told[0], "2:1: unknown key \"hostnme\" in [node]; did you mean \"hostname\"?");
    assert!(told[1].starts_with("4:8: \"x\" is no IP address; "), "{}", told[1]);
    assert_eq!(told[2], "4:13: \"dns\" must be a string, and this is an integer; put it in quotes");
    assert!(told[3].starts_with("5:2: unknown key \"bogus\""), "{}", told[3]);
    assert_eq!(told[4], "7:9: \"files\" is out of range; write a whole number from 1 to 100");
}

#[test]
fn dhcpv6_is_not_promised() {
    refused("[[network.links]]\nname = \"eth0\"\ndhcp6 = true\n", "3:1", "there is no DHCPv6");
    refused("[[network.links]]\nname = \"eth0\"\ndhcp6 = false\n", "3:1", "accept-ra = true");
}

#[test]
fn syntax_errors_are_told_beside_the_problems_of_other_lines() {
    let told = problems("[node]\nhostname = \n[log]\nfilez = 3\nfiles = = 2\n");
    assert!(told.iter().any(|p| p.starts_with("2:")), "{told:#?}");
    assert!(told.iter().any(|p| p.starts_with("4:1: unknown key \"filez\"")), "{told:#?}");
    assert!(told.iter().any(|p| p.starts_with("5:")), "{told:#?}");
    for problem in &told {
        let (_, right) = problem.split_once("; ").expect(problem);
        assert!(!right.is_empty());
    }
}

#[test]
fn a_key_given_twice_is_refused_at_the_second() {
    refused("[node]\nhostname = \"a\"\nhostname = \"b\"\n", "3:1", "duplicate key");
}

#[test]
fn wrong_types_name_the_type_wanted() {
    refused("node = 1", "1:8", "must be a table, and this is an integer");
    refused("[network.links]\nname = \"a\"", "1:1", "begin each entry with [[network.links]]");
    refused("[time]\nservers = \"a\"", "2:11", "must be an array");
    refused("[network]\nhostname-from-dhcp = \"yes\"", "2:22", "write true or false");
    refused("[log]\nfiles = 99999999999999999999", "2:9", "out of range");
    refused("[kernel.sysctls]\n\"vm.swappiness\" = true", "2:19", "a text or an integer");
}

#[test]
fn an_outsized_document_is_refused_unread() {
    refused(&format!("# {}", "x".repeat(70_000)), "1:1", "keep it within 65536 bytes");
    let deep = format!("[node]\n{} = 1", vec!["a"; 30_000].join("."));
    refused(&deep, "2:1", "a key has too many parts");
    let deep = format!("[node]\nx = {}1{}", "{ a = ".repeat(2_000), "}".repeat(2_000));
    assert!(parse(&deep, "f").is_err());
    let deep = format!("[node]\nx = {{{} = 1}}", vec!["a"; 30_000].join("."));
    assert!(parse(&deep, "f").is_err());
    let deep = format!("[{}]", vec!["\"a\""; 15_000].join("."));
    assert!(parse(&deep, "f").is_err());
}

#[test]
fn a_file_that_a_disk_damaged_is_called_that() {
    let text = format!("[node]\nhostname = \"a\"\n{}", "\0".repeat(4_096));
    refused(&text, "3:1", "the document is damaged: it holds the character '\\0'");
}

#[test]
fn what_editors_of_other_systems_write_is_accepted() {
    accepted("\u{feff}[node]\r\nhostname = \"a\"\r\n");
    refused("\u{feff}[node]\r\nhost = \"a\"\r\n", "2:1", "\"hostname\"");
}

#[test]
fn a_long_damaged_document_is_told_its_first_fault() {
    let long = format!("[log]\nfiles = 2\nmax-size = \n{}", "# x\n".repeat(10_000));
    refused(&long, "3:12", "must be quoted");
    accepted(&long.replace("max-size = \n", ""));
}

#[test]
fn a_link_is_selected_by_name_or_match() {
    let link = |rest: &str| format!("[[network.links]]\n{rest}");
    refused(&link("mtu = 1500"), "1:1", "does not say which link");
    refused(&link("name = \"a\"\nmatch = { driver = \"x\" }"), "3:9", "remove one of the two");
    refused(&link("match = {}"), "2:9", "give at least one of mac, name, driver, path");
    refused(
        &link("match = { driver = \"x\" }\nbridge = {}"),
        "2:9",
        "a VLAN, bridge or bond is made",
    );
    refused(
        &link("name = \"a\"\nbridge = {}\nbond = { ports = [\"b\"] }"),
        "4:8",
        "cannot be a bridge and a bond",
    );
}

#[test]
fn gateways_must_be_on_the_link() {
    let link = |rest: &str| format!("[[network.links]]\nname = \"a\"\n{rest}");
    refused(
        &link("addresses = [\"10.0.0.2/24\"]\ngateways = [\"10.0.1.1\"]"),
        "4:13",
        "write an address within 10.0.0.0/24",
    );
    refused(&link("gateways = [\"10.0.1.1\"]"), "3:13", "add the link's own address");
    refused(
        &link("addresses = [\"10.0.0.2/24\"]\ngateways = [\"10.0.0.2\"]"),
        "4:13",
        "this link's own address",
    );
    refused(
        &link("addresses = [\"10.0.0.2/24\"]\ngateways = [\"10.0.0.1\", \"10.0.0.3\"]"),
        "4:25",
        "one default gateway for each address family",
    );
    refused(&link("gateways = [\"224.0.0.1\"]"), "3:13", "is no gateway");
    accepted(&link("gateways = [\"fe80::1\"]"));
    accepted(&link(
        "addresses = [\"10.0.0.2/24\", \"fd::2/64\"]\ngateways = [\"10.0.0.1\", \"fd::1\"]",
    ));
}

#[test]
fn routes_need_a_reachable_next_hop_of_their_family() {
    let route = |rest: &str, route: &str| {
        format!("[[network.links]]\nname = \"a\"\n{rest}\nroutes = [{route}]")
    };
    let fixed = "addresses = [\"10.0.0.2/24\"]";
    refused(
        &route(fixed, "{ to = \"10.9.0.0/16\", via = \"10.1.0.1\" }"),
        "4:39",
        "is not on this link",
    );
    refused(&route(fixed, "{ via = \"10.0.0.1\" }"), "4:11", "\"to\" is missing");
    refused(
        &route(fixed, "{ to = \"fd00::/16\", via = \"10.0.0.1\" }"),
        "4:37",
        "one address family",
    );
    refused(&route(fixed, "{ to = \"10.9.0.1/16\" }"), "4:18", "write \"10.9.0.0/16\"");
    accepted(&route(fixed, "{ to = \"10.9.0.0/16\" }"));
    accepted(&route("dhcp4 = true", "{ to = \"10.9.0.0/16\", via = \"10.1.0.1\" }"));
    refused(
        &route("dhcp4 = false", "{ to = \"10.9.0.0/16\", via = \"10.1.0.1\" }"),
        "4:39",
        "is not on this link",
    );
}

#[test]
fn addresses_and_names_are_given_once() {
    refused(
        "[[network.links]]\nname = \"a\"\naddresses = [\"10.0.0.2/24\", \"10.0.0.2/16\"]",
        "3:29",
        "given twice",
    );
    refused(
        "[[network.links]]\nname = \"a\"\naddresses = [\"10.0.0.2/24\"]\n\
         [[network.links]]\nname = \"b\"\naddresses = [\"10.0.0.2/24\"]",
        "6:14",
        "is also on \"a\"",
    );
    refused(
        "[[network.links]]\nname = \"a\"\n[[network.links]]\nname = \"a\"",
        "4:8",
        "two entries",
    );
    refused(
        "[network]\ndns = [\"1.1.1.1\", \"1.0.0.1\", \"8.8.8.8\", \"9.9.9.9\"]",
        "2:7",
        "three",
    );
}

#[test]
fn a_port_belongs_to_one_and_carries_no_addresses() {
    let bonds = "[[network.links]]\nname = \"b0\"\nbond = { ports = [\"a\"] }\n\
                 [[network.links]]\nname = \"b1\"\nbridge = { ports = [\"a\"] }";
    refused(bonds, "6:10", "\"a\" is a port of \"b0\" already");
    let port = |rest: &str| {
        format!(
            "[[network.links]]\nname = \"a\"\n{rest}\n\
             [[network.links]]\nname = \"b0\"\nbond = {{ ports = [\"a\"] }}"
        )
    };
    refused(&port("addresses = [\"10.0.0.2/24\"]"), "3:13", "a port carries no addresses");
    refused(&port("dhcp4 = true"), "3:9", "has \"dhcp4\"");
    accepted(&port("dhcp4 = false"));
    let port = parse(&port("mtu = 9000"), "f").expect("a port may set its mtu");
    assert!(!port.network.links[0].dhcp4 && !port.network.links[0].accept_ra);
    assert!(port.network.links[1].dhcp4 && port.network.links[1].accept_ra);
    refused(
        "[[network.links]]\nname = \"b\"\nbridge = { ports = [\"a\", \"a\"] }",
        "3:26",
        "named twice",
    );
}

#[test]
fn a_bond_takes_only_the_options_of_its_mode() {
    let bond = |rest: &str| format!("[[network.links]]\nname = \"b\"\nbond = {{ {rest} }}");
    refused(&bond(""), "3:8", "\"ports\" is missing");
    refused(&bond("ports = []"), "3:18", "a bond without ports");
    refused(&bond("ports = [\"a\"], mode = \"lacp\""), "3:32", "802.3ad");
    refused(&bond("ports = [\"a\"], lacp-rate = \"fast\""), "3:37", "no effect");
    refused(&bond("ports = [\"a\"], primary = \"c\""), "3:35", "is no port of this bond");
    refused(&bond("ports = [\"a\"], miimon = \"1ms\""), "3:34", "10ms to 10s");
    accepted(&bond("ports = [\"a\"], mode = \"802.3ad\", lacp-rate = \"fast\""));
}

#[test]
fn links_do_not_stand_on_themselves() {
    refused(
        "[[network.links]]\nname = \"v\"\nvlan = { link = \"v\", id = 1 }",
        "3:8",
        "\"v\" stands on itself",
    );
    refused(
        "[[network.links]]\nname = \"b\"\nbridge = { ports = [\"v\"] }\n\
         [[network.links]]\nname = \"v\"\nvlan = { link = \"b\", id = 1 }",
        "3:10",
        "\"b\" and \"v\" stand on each other in a circle",
    );
    accepted(
        "[[network.links]]\nname = \"b0\"\nbond = { ports = [\"a\", \"c\"] }\n\
         [[network.links]]\nname = \"v\"\nvlan = { link = \"b0\", id = 1 }\n\
         [[network.links]]\nname = \"br\"\nbridge = { ports = [\"v\"] }",
    );
}

#[test]
fn vlans_are_complete_unique_and_no_larger_than_their_carrier() {
    let vlan = |rest: &str| format!("[[network.links]]\nname = \"v\"\nvlan = {{ {rest} }}\n");
    refused(&vlan("link = \"a\""), "3:8", "\"id\" is missing");
    refused(&vlan("link = \"a\", id = 4095"), "3:27", "1 to 4094");
    let two = format!("{}{}", vlan("link = \"a\", id = 5"), vlan("link = \"a\", id = 5"));
    refused(&two.replacen("\"v\"", "\"w\"", 1), "6:8", "is \"w\" already");
    refused(
        "[[network.links]]\nname = \"a\"\nmtu = 1400\n[[network.links]]\nname = \"v\"\nmtu = 1500\n\
         vlan = { link = \"a\", id = 1 }",
        "6:7",
        "write 1400 or less",
    );
    refused(
        "[[network.links]]\nname = \"a\"\nmtu = 1000\naddresses = [\"fd::1/64\"]",
        "3:7",
        "at least 1280",
    );
}

#[test]
fn the_pods_range_is_nobody_elses() {
    refused(
        "[[network.links]]\nname = \"a\"\naddresses = [\"10.42.0.2/16\"]",
        "3:14",
        "give pods.cidr a range that nothing else uses",
    );
    refused(
        "[pods]\ncidr6 = \"fd::/64\"\n[[network.links]]\nname = \"a\"\naddresses = [\"fd::2/64\"]",
        "5:14",
        "give pods.cidr6 a range",
    );
    refused(
        "[[network.links]]\nname = \"a\"\nroutes = [{ to = \"10.42.0.0/25\" }]",
        "3:18",
        "takes from the pods' range",
    );
    accepted("[[network.links]]\nname = \"a\"\nroutes = [{ to = \"0.0.0.0/0\" }]");
}

#[test]
fn a_sysctl_in_two_spellings_is_refused() {
    let text = "[kernel.sysctls]\n\"vm.swappiness\" = 1\n\"vm/swappiness\" = 2";
    refused(text, "3:1", "set twice, in two spellings");
    refused("[kernel.sysctls]\n\"vm.x\" = \"a\\nb\"", "2:10", "write one line");
}

#[test]
fn registries_are_consistent() {
    let registry = |rest: &str| format!("[registries.\"a.example\"]\n{rest}");
    refused(&registry("username = \"u\""), "2:12", "add \"password\"");
    refused(&registry("password = \"p\""), "2:12", "add \"username\"");
    refused(&registry("mirrors = [\"http://m.example\"]"), "2:12", "insecure = true");
    refused(&registry("ca = \"ca.pem\"\ninsecure = true"), "2:6", "no effect");
    refused("[registries.\"https://a.example/v2\"]", "1:13", "[registries.\"a.example\"]");
    accepted(&registry("mirrors = [\"http://m.example\"]\ninsecure = true"));
    let config = parse(&registry("username = \"u\"\npassword = \"hidden\""), "f").unwrap();
    assert!(!format!("{config:?}").contains("hidden"));
    let password = config.registries["a.example"].password.as_ref().unwrap();
    assert_eq!(password.reveal(), "hidden");
}

#[test]
fn a_passwords_text_never_reaches_a_problem() {
    let told = problems("[registries.\"a.example\"]\nusername = \"u\"\npassword = 12345678\n");
    assert!(told.iter().all(|p| !p.contains("12345678")), "{told:#?}");
}

#[test]
fn ranges_of_times_and_percentages_are_kept() {
    refused("[watchdog]\ntimeout = \"1s\"", "2:11", "5s to 10m");
    refused("[log]\nmax-size = \"1KiB\"", "2:12", "64KiB to 1GiB");
    refused("[images]\ngc-low-percent = 90", "2:18", "less than gc-high-percent");
    refused("[images]\ngc-high-percent = 101", "2:19", "1 to 100");
    refused("[images]\npull-timeout = \"5ms\"", "2:16", "1s or more");
}

#[test]
fn console_appears_in_known_ways_and_on_named_terminals() {
    refused("[console]\nscreen = \"always\"\n", "2:10", "write when-ready, on-key, off");
    refused("[console]\nterminals = [\"/dev/tty1\"]\n", "2:14", "such as \"ttyS0\"");
    accepted("[console]\nscreen = \"off\"\nserial = \"when-ready\"\nterminals = [\"ttyAMA0\"]\n");
}

#[test]
fn document_from_a_network_must_prove_itself() {
    let hash = "a".repeat(64);
    refused("[provisioning]\nurl = \"https://a.example/x\"\n", "2:7", "add sha256 =");
    refused("[provisioning]\ndhcp = true\n", "2:8", "whoever answers DHCP");
    refused("[provisioning]\nsha256 = \"abc\"\nurl = \"http://a/b\"\n", "2:10", "64 hexadecimal");
    refused("[provisioning]\nkey = \"RW\"\n", "2:7", "second line of minisign.pub");
    refused(&format!("[provisioning]\nsha256 = \"{hash}\"\n"), "2:10", "add the url");
    let text = format!("[provisioning]\nurl = \"ftp://a/b\"\nsha256 = \"{hash}\"\n");
    refused(&text, "2:7", "https://");
    refused("[provisioning]\nconfirm-within = \"1s\"\n", "2:18", "30s to 24h");
    accepted(&format!("[provisioning]\nurl = \"http://a/b\"\nsha256 = \"{hash}\"\n"));
}

#[test]
fn factory_reset_does_not_happen_by_accident() {
    refused("[reset]\npower-cycles = 2\n", "2:16", "write 3 to 20, or 0 for none");
    refused("[reset]\nrequest = \"a b\"\n", "2:11", "such as a date");
    refused("[reset]\ngpio = { chip = \"gpiochip0\" }\n", "2:8", "\"line\" is missing");
    refused("[reset]\nearly = \"1s\"\n", "2:9", "5s to 5m");
    accepted("[reset]\nrequest = \"2026-11-26\"\ngpio = { chip = \"gpiochip0\", line = 17 }\n");
}

#[test]
fn wireless_network_has_a_name_and_its_own_secret() {
    refused("[[wifi]]\npassphrase = \"12345678\"\n", "1:1", "\"ssid\" is missing");
    refused("[[wifi]]\nssid = \"a\"\n", "1:1", "add it, or security = \"open\"");
    refused("[[wifi]]\nssid = \"a\"\npassphrase = \"short\"\n", "3:14", "8 to 63 characters");
    let key = "0".repeat(64);
    let text = format!("[[wifi]]\nssid = \"a\"\npassphrase = \"{key}\"\nsecurity = \"wpa2\"\n");
    accepted(&text);
    refused(&text.replace("wpa2", "wpa3"), "3:14", "this is no passphrase");
    refused(
        "[[wifi]]\nssid = \"a\"\npassphrase = \"12345678\"\ncountry = \"de\"\n",
        "4:11",
        "ISO 3166",
    );
}

#[test]
fn hardware_has_known_governors_and_buses() {
    refused("[hardware]\ncpu-governor = \"fast\"\n", "2:16", "performance, powersave");
    refused("[hardware]\nbuses = [\"can\"]\n", "2:10", "write i2c, spi");
    accepted("[hardware]\ncpu-governor = \"schedutil\"\nbuses = [\"i2c\", \"spi\"]\n");
}
