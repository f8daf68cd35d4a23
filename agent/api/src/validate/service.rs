//! Rules of Services and what carries their addresses.

use crate::field::{FieldError, Path};
use crate::{Resource, Value};
use std::collections::HashSet;
use std::net::IpAddr;

pub(super) fn check_kind(resource: &Resource, object: &Value, errors: &mut Vec<FieldError>) {
    match (&*resource.group, &*resource.kind) {
        ("", "Service") => service(object, errors),
        ("discovery.k8s.io", "EndpointSlice") => endpoint_slice(object, errors),
        _ => {}
    }
}

fn service(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    let path = Path::new("spec");
    let kind = spec.str_at(&["type"]);
    let cluster_ip = spec.str_at(&["clusterIP"]);
    let ports = spec.items_at(&["ports"]);
    if ports.is_empty() && cluster_ip != "None" && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    if kind == "ExternalName" {
        if !cluster_ip.is_empty() {
            let detail = "may not be set when type is 'ExternalName'";
            errors.push(FieldError::forbidden(&path.child("clusterIPs"), detail));
        }
        let name = spec.str_at(&["externalName"]).trim_end_matches('.');
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("externalName"), ""));
        } else {
            for wrong in crate::names::dns_subdomain(name) {
                errors.push(FieldError::invalid(&path.child("externalName"), name, &wrong));
            }
        }
    }
    if !matches!(cluster_ip, "" | "None") && cluster_ip.parse::<IpAddr>().is_err() {
        let at = path.child("clusterIPs").index(0);
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid(&at, cluster_ip, detail));
    }
    if kind == "LoadBalancer" && cluster_ip == "None" {
        let detail = "may not be set to 'None' for LoadBalancer services";
        errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), cluster_ip, detail));
    }
    let mut seen_names = HashSet::new();
    let mut seen_ports = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = path.child("ports").index(index);
        let name = port.str_at(&["name"]);
        if name.is_empty() && ports.len() > 1 {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else if !seen_names.insert(name) && !name.is_empty() {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        let (number, protocol) = (port.int_at(&["port"]), port.str_at(&["protocol"]));
        if !seen_ports.insert((number, protocol)) {
            let bad = crate::value!({"port": number, "protocol": protocol});
            errors.push(FieldError::duplicate(&at, bad));
        }
        let has_node_port = port.int_at(&["nodePort"]).unwrap_or_default() != 0;
        if has_node_port && matches!(kind, "ClusterIP" | "ExternalName") {
            let detail = format!("may not be used when `type` is '{kind}'");
            errors.push(FieldError::forbidden(&at.child("nodePort"), &detail));
        }
    }
    if spec.get("externalTrafficPolicy").is_some() && matches!(kind, "ClusterIP" | "ExternalName") {
        let bad = spec["externalTrafficPolicy"].clone();
        let detail = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(&path.child("externalTrafficPolicy"), bad, detail));
    }
    super::metadata::labels(spec.get("selector"), &path.child("selector"), errors);
    for (index, address) in spec.items_at(&["externalIPs"]).iter().enumerate() {
        let text = address.as_str().unwrap_or_default();
        if text.parse::<IpAddr>().is_err() {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(&path.child("externalIPs").index(index), text, detail));
        }
    }
}

fn endpoint_slice(object: &Value, errors: &mut Vec<FieldError>) {
    let kind = object.str_at(&["addressType"]);
    let endpoints = object.items_at(&["endpoints"]);
    if endpoints.len() > 1000 {
        errors.push(FieldError::too_many(&Path::new("endpoints"), endpoints.len(), 1000));
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let at = Path::new("endpoints").index(index).child("addresses");
        for (number, address) in endpoint.items_at(&["addresses"]).iter().enumerate() {
            let text = address.as_str().unwrap_or_default();
            let wrong = match (kind, text.parse::<IpAddr>()) {
                ("IPv4", Ok(IpAddr::V4(_))) | ("IPv6", Ok(IpAddr::V6(_))) => vec![],
                ("IPv4", _) => vec!["must be a valid IPv4 address".to_owned()],
                ("IPv6", _) => vec!["must be a valid IPv6 address".to_owned()],
                _ => crate::names::dns_subdomain(text),
            };
            let at = at.index(number);
            errors.extend(wrong.iter().map(|detail| FieldError::invalid(&at, text, detail)));
        }
    }
    let mut seen = HashSet::new();
    for (index, port) in object.items_at(&["ports"]).iter().enumerate() {
        let name = port.str_at(&["name"]);
        if !seen.insert(name) {
            let at = Path::new("ports").index(index).child("name");
            errors.push(FieldError::duplicate(&at, name));
        }
    }
}

/// The address of a Service stays while it has one.
pub(super) fn check_update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let (now, was) = (object.str_at(&["spec", "clusterIP"]), old.str_at(&["spec", "clusterIP"]));
    let kinds = [object, old].map(|one| one.str_at(&["spec", "type"]));
    if kinds.contains(&"ExternalName") || was.is_empty() || now == was {
        return;
    }
    let bad = crate::value!([now]);
    let detail = "may not change once set";
    errors.push(FieldError::invalid(&Path::new("spec.clusterIPs").index(0), bad, detail));
}
