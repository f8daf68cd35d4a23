//! From what is wanted and what is there to the actions between them. Pure: (wanted, observed) →
//! plan. Doing the plan and planning again gives no actions; what this service did not make is not
//! touched; what may stay is not removed and made again.

use holm_config::{Bond, BondMode};

use super::action::{Action, Problem};
use super::observed::{Address, BondState, Kind, Link, Observed, PROTOCOL, Route};
use super::wanted::{Wanted, WantedAddress, WantedKind, WantedLink, WantedRoute};

/// The kernel counts lifetimes in whole seconds, and takes its time to tell.
const LIFETIME_TOLERANCE_MS: u64 = 5000;

/// What to do, in this order, and what cannot be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The steps.
    pub(crate) actions: Vec<Action>,
    /// What the document asks for and the node lacks; may come later.
    pub(crate) problems: Vec<Problem>,
}

/// Makes the plan.
pub(crate) fn plan(wanted: &Wanted, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let removed = plan.delete_links(wanted, observed);
    for there in
        observed.links.iter().filter(|link| !link.is_of_a_pod() && !removed.contains(&link.index))
    {
        let link = wanted.links.iter().find(|link| link.name == there.name);
        plan.remove_stale(link, there, observed);
    }
    let mut usable: Vec<(&WantedLink, Option<&Link>)> = Vec::new();
    for link in &wanted.links {
        let there = observed.link(&link.name).filter(|link| !removed.contains(&link.index));
        let stays = |link: &Link| !removed.contains(&link.index);
        let will_be = |name: &str| {
            usable.iter().any(|(link, _)| link.name == name)
                || observed.link(name).is_some_and(stays)
        };
        match plan.create(link, there, will_be, observed) {
            Ok(()) => usable.push((link, there)),
            Err(problem) => plan.problems.push(problem),
        }
    }
    for (link, there) in &usable {
        let master = link.master.as_ref().filter(|m| usable.iter().any(|(l, _)| l.name == **m));
        plan.shape(link, *there, master, observed);
    }
    for (link, there) in &usable {
        plan.set_primary(link, *there, observed);
    }
    for (link, there) in &usable {
        plan.add_addresses(link, *there, observed);
    }
    for (link, there) in &usable {
        plan.add_routes(link, *there, observed);
    }
    plan
}

impl Plan {
    fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Links of ours that nobody wants, or that cannot become what is wanted.
    fn delete_links(&mut self, wanted: &Wanted, observed: &Observed) -> Vec<u32> {
        let ours = observed.links.iter().filter(|link| link.is_ours() && !link.is_of_a_pod());
        let stale: Vec<&Link> = ours
            .filter(|there| {
                let link = wanted.links.iter().find(|link| link.name == there.name);
                link.is_none_or(|link| !is_kind(&link.kind, there.kind, observed))
            })
            .collect();
        let mut gone: Vec<u32> = stale.iter().map(|link| link.index).collect();
        let goes_along = |link: &&Link| matches!(link.kind, Kind::Vlan(b, _) if gone.contains(&b));
        let told = stale.iter().filter(|link| !goes_along(link));
        self.actions.extend(told.map(|link| Action::Delete(link.name.clone())));
        // The kernel removes VLANs together with the link below.
        while let Some(vlan) = observed.links.iter().find(|link| {
            !gone.contains(&link.index)
                && matches!(link.kind, Kind::Vlan(b, _) if gone.contains(&b))
        }) {
            gone.push(vlan.index);
        }
        gone
    }

    /// Routes and addresses that bear our mark and are wanted no longer, on any link.
    fn remove_stale(&mut self, link: Option<&WantedLink>, there: &Link, observed: &Observed) {
        let (routes, addresses) =
            link.map_or((&[][..], &[][..]), |link| (&link.routes[..], &link.addresses[..]));
        for route in observed.routes.iter().filter(|r| r.index == there.index) {
            if route.protocol == PROTOCOL && !routes.iter().any(|w| is_route(w, route)) {
                self.push(Action::RemoveRoute(there.name.clone(), as_wanted(route)));
            }
        }
        for address in observed.addresses.iter().filter(|a| a.index == there.index) {
            let is_wanted = addresses.iter().any(|wanted| wanted.net == address.net);
            if address.protocol == PROTOCOL && !is_wanted {
                self.push(Action::RemoveAddress(there.name.clone(), address.net));
            }
        }
    }

    fn create(
        &mut self,
        link: &WantedLink,
        there: Option<&Link>,
        will_be: impl Fn(&str) -> bool,
        observed: &Observed,
    ) -> Result<(), Problem> {
        let name = link.name.clone();
        match (there, &link.kind) {
            (Some(_), WantedKind::Existing) => Ok(()),
            (None, WantedKind::Existing) => Err(Problem::Missing(name)),
            (Some(there), kind) if is_kind(kind, there.kind, observed) => Ok(()),
            (Some(_), _) => Err(Problem::Taken(name)),
            (None, WantedKind::Vlan(below, _)) if !will_be(below) => {
                Err(Problem::MissingBelow(name, below.clone()))
            }
            (None, kind) => {
                self.push(Action::Create(name, kind.clone()));
                Ok(())
            }
        }
    }

    /// Settings, size, hardware address, membership, and up at last.
    fn shape(
        &mut self,
        link: &WantedLink,
        there: Option<&Link>,
        master: Option<&String>,
        observed: &Observed,
    ) {
        let name = &link.name;
        for (&setting, value) in &link.settings {
            let known = there.map(|there| observed.settings.get(&(there.index, setting)));
            // A setting that this kernel lacks cannot be written; a new link's is not known.
            if known.is_none_or(|known| known.is_some_and(|known| known != value)) {
                self.push(Action::Set(name.clone(), setting, value.clone()));
            }
        }
        let mut is_up = there.is_some_and(|there| there.up);
        let down = |plan: &mut Self, is_up: &mut bool| {
            if std::mem::take(is_up) {
                plan.push(Action::Down(name.clone()));
            }
        };
        if let Some(mac) = link.mac.filter(|mac| there.and_then(|there| there.mac) != Some(*mac)) {
            down(self, &mut is_up);
            self.push(Action::SetMac(name.clone(), mac));
        }
        if let Some(mtu) = link.mtu.filter(|mtu| there.map(|there| there.mtu) != Some(*mtu)) {
            self.push(Action::SetMtu(name.clone(), mtu));
        }
        if let (WantedKind::Bridge(stp), Some(Kind::Bridge(is))) =
            (&link.kind, there.map(|there| there.kind))
            && *stp != is
        {
            self.push(Action::SetStp(name.clone(), *stp));
        }
        let current = there.and_then(|there| there.master).and_then(|m| observed.link_at(m));
        match master {
            Some(master) if current.map(|link| &link.name) != Some(master) => {
                down(self, &mut is_up);
                self.push(Action::SetMaster(name.clone(), Some(master.clone())));
            }
            // Whoever made another bridge may have put the link there.
            None if current.is_some_and(Link::is_ours) && link.master.is_none() => {
                self.push(Action::SetMaster(name.clone(), None));
            }
            _ => {}
        }
        if !is_up {
            self.push(Action::Up(name.clone()));
        }
    }

    fn set_primary(&mut self, link: &WantedLink, there: Option<&Link>, observed: &Observed) {
        let WantedKind::Bond(bond) = &link.kind else { return };
        let current = match there.map(|there| there.kind) {
            Some(Kind::Bond(state)) => state.primary.and_then(|index| observed.link_at(index)),
            _ => None,
        };
        let current = current.map(|link| link.name.clone());
        let wanted = bond.primary.clone().filter(|_| has_primary(bond.mode));
        if current != wanted && wanted.as_ref().is_none_or(|port| observed.link(port).is_some()) {
            self.push(Action::SetPrimary(link.name.clone(), wanted));
        }
    }

    fn add_addresses(&mut self, link: &WantedLink, there: Option<&Link>, observed: &Observed) {
        for wanted in &link.addresses {
            let found = observed.addresses.iter().find(|address| {
                there.is_some_and(|there| there.index == address.index) && address.net == wanted.net
            });
            if found.is_none_or(|found| !lives_as_long(wanted, found)) {
                self.push(Action::PutAddress(link.name.clone(), wanted.net, wanted.valid_until));
            }
        }
    }

    fn add_routes(&mut self, link: &WantedLink, there: Option<&Link>, observed: &Observed) {
        for wanted in &link.routes {
            let is_there = observed.routes.iter().any(|route| {
                there.is_some_and(|there| there.index == route.index) && is_route(wanted, route)
            });
            if !is_there {
                self.push(Action::AddRoute(link.name.clone(), *wanted));
            }
        }
    }
}

/// Whether a link that is there is what is wanted, up to what can be changed in place.
fn is_kind(wanted: &WantedKind, there: Kind, observed: &Observed) -> bool {
    match (wanted, there) {
        (WantedKind::Existing, _) => true,
        (WantedKind::Vlan(below, id), Kind::Vlan(index, there)) => {
            *id == there && observed.link_at(index).is_some_and(|link| link.name == *below)
        }
        (WantedKind::Bridge(_), Kind::Bridge(_)) => true,
        (WantedKind::Bond(bond), Kind::Bond(state)) => is_bond(bond, &state),
        _ => false,
    }
}

fn is_bond(bond: &Bond, there: &BondState) -> bool {
    bond.mode == there.mode
        && bond.miimon.as_millis() == u128::from(there.miimon)
        && (!has_lacp(bond.mode) || bond.lacp_rate == there.lacp_rate)
        && (!has_hash(bond.mode) || Some(bond.transmit_hash) == there.transmit_hash)
}

/// Whether the LACP rate means anything in a mode.
pub(crate) fn has_lacp(mode: BondMode) -> bool {
    mode == BondMode::Lacp
}

/// Whether the hash policy means anything in a mode.
pub(crate) fn has_hash(mode: BondMode) -> bool {
    matches!(mode, BondMode::BalanceXor | BondMode::Lacp | BondMode::BalanceTlb)
}

fn has_primary(mode: BondMode) -> bool {
    matches!(mode, BondMode::ActiveBackup | BondMode::BalanceTlb | BondMode::BalanceAlb)
}

fn lives_as_long(wanted: &WantedAddress, there: &Address) -> bool {
    match (wanted.valid_until, there.valid_until) {
        (None, None) => true,
        (Some(wanted), Some(there)) => wanted.0.abs_diff(there.0) <= LIFETIME_TOLERANCE_MS,
        _ => false,
    }
}

fn is_route(wanted: &WantedRoute, there: &Route) -> bool {
    there.protocol == PROTOCOL && *wanted == as_wanted(there)
}

fn as_wanted(route: &Route) -> WantedRoute {
    let Route { to, via, metric, source, onlink, .. } = *route;
    WantedRoute { to, via, metric, source, onlink }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
