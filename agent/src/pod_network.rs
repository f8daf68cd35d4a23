//! Gives pods the network of `holm-network`. Only translates.

use std::io;

use holm_network::{PodNetwork, PortMapping};
use holm_node::pod::images::chain;
use holm_node::pod::{self, PodAddresses, PodLink, PodNetworkError};

/// The pod network behind the trait that pods know.
pub struct Network(pub PodNetwork);

impl pod::PodNetwork for Network {
    fn attach(&self, pod: &PodLink) -> Result<PodAddresses, PodNetworkError> {
        let failed = |source| error("attach", &pod.pod_uid, source);
        let ports = pod.host_ports.iter().map(mapping).collect::<Result<Vec<_>, _>>();
        let ports = ports.map_err(failed)?;
        let attached = self.0.attach(&pod.pod_uid, &ports);
        let (netns, addresses) =
            attached.map_err(|error| failed(io::Error::other(chain(&error))))?;
        Ok(PodAddresses { netns, addresses })
    }

    fn detach(&self, pod_uid: &str) -> Result<(), PodNetworkError> {
        let errors: Vec<String> = self.0.detach(pod_uid).iter().map(|error| chain(error)).collect();
        if errors.is_empty() {
            return Ok(());
        }
        Err(error("detach", pod_uid, io::Error::other(errors.join("; "))))
    }

    fn attached(&self) -> Result<Vec<String>, PodNetworkError> {
        self.0.attached().map_err(|failure| error("list", "", io::Error::other(chain(&failure))))
    }
}

fn error(operation: &'static str, pod_uid: &str, source: io::Error) -> PodNetworkError {
    PodNetworkError { operation, pod_uid: pod_uid.to_owned(), source }
}

fn mapping(port: &pod::HostPort) -> io::Result<PortMapping> {
    let protocol = port.protocol.parse();
    Ok(PortMapping {
        host_ip: port.host_ip,
        host_port: port.host_port,
        pod_port: port.container_port,
        protocol: protocol.map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?,
    })
}

#[cfg(test)]
mod tests {
    use holm_network::Protocol;

    use super::*;

    #[test]
    fn host_ports_are_translated() {
        let port = |protocol: &str| pod::HostPort {
            host_ip: None,
            host_port: 53,
            container_port: 5353,
            protocol: protocol.into(),
        };
        let expected =
            PortMapping { host_ip: None, host_port: 53, pod_port: 5353, protocol: Protocol::Udp };
        assert_eq!(mapping(&port("UDP")).unwrap(), expected);
        assert_eq!(mapping(&port("udp")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
