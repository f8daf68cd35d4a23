//! The way from the top-level targets through delegations to a target: pre-order, depth first, as
//! the specification's 5.6.7 says. Must never use a role that the snapshot does not list.

use std::collections::{BTreeMap, BTreeSet};

use ring::digest::{SHA256, digest};

use crate::envelope::{Envelope, check_key_ids};
use crate::file_name;
use crate::hex;
use crate::metadata::{DelegatedRole, Delegations, Meta, RoleKeys, Target, Targets};
use crate::workflow::{
    Answer, Request, Workflow, WorkflowError, matches, not_expired, right_version,
};

/// A search for one target.
#[derive(Debug)]
pub struct Search<'a> {
    run: &'a Workflow,
    path: String,
    /// (delegator, role); the last is the next.
    waiting: Vec<(String, DelegatedRole)>,
    visited: BTreeSet<String>,
    /// Keys of the delegators that were visited.
    delegations: BTreeMap<String, Delegations>,
    found: Option<Target>,
}

impl<'a> Search<'a> {
    /// Begins at the top-level targets of a run that is over.
    pub fn begin(run: &'a Workflow, path: &str) -> Self {
        let mut search = Self {
            run,
            path: path.to_owned(),
            waiting: Vec::new(),
            visited: BTreeSet::from(["targets".to_owned()]),
            delegations: BTreeMap::new(),
            found: None,
        };
        if let Some(targets) = run.targets() {
            search.look_into("targets", targets);
        }
        search
    }

    /// What was found; it is final once [`Self::request`] says `None`.
    pub fn found(&self) -> Option<&Target> {
        self.found.as_ref()
    }

    /// The role that is looked at next, and its file. `None` when the search is over.
    pub fn request(&mut self) -> Result<Option<(String, Request)>, WorkflowError> {
        if self.found.is_some() {
            return Ok(None);
        }
        while self.waiting.last().is_some_and(|(_, role)| self.visited.contains(&role.name)) {
            self.waiting.pop();
        }
        let limits = self.run.limits();
        let Some((_, role)) = self.waiting.last() else { return Ok(None) };
        if self.visited.len() > limits.delegations {
            return Ok(None);
        }
        let meta = self.meta(&role.name)?;
        let version = self.run.root().consistent_snapshot.then_some(meta.version);
        let name = file_name::metadata(&role.name, version);
        let limit = meta.length.unwrap_or(limits.targets);
        Ok(Some((role.name.clone(), Request { name, limit })))
    }

    /// Takes the file of the role that was asked for; a stored one may be tried first, since a
    /// file that does not fit changes nothing.
    pub fn answer(&mut self, answer: Answer<'_>) -> Result<(), WorkflowError> {
        let (delegator, role) = self.waiting.last().ok_or(WorkflowError::Over)?;
        let name = role.name.clone();
        let meta = self.meta(&name)?;
        let Answer::File(bytes) = answer else { return Err(WorkflowError::Missing(name)) };
        matches(meta, &name, bytes)?;
        let envelope = Envelope::parse(&name, bytes)?;
        let keys = self.delegations.get(delegator).ok_or(WorkflowError::Over)?;
        let role_keys = RoleKeys {
            keyids: role.keyids.clone(),
            threshold: role.threshold,
            extra: serde_json::Map::new(),
        };
        envelope.verify(&name, &keys.keys, &role_keys)?;
        let targets: Targets = envelope.open(&name)?;
        right_version(&name, meta, targets.version)?;
        not_expired(&targets, &name, self.run.now())?;
        if let Some(delegations) = &targets.delegations {
            check_key_ids(&name, &delegations.keys)?;
        }
        self.waiting.pop();
        self.visited.insert(name.clone());
        self.look_into(&name, &targets);
        Ok(())
    }

    fn meta(&self, role: &str) -> Result<&'a Meta, WorkflowError> {
        let file = file_name_in_snapshot(role);
        let meta = self.run.snapshot().and_then(|snapshot| snapshot.meta.get(&file));
        meta.ok_or(WorkflowError::Unlisted(file))
    }

    fn look_into(&mut self, name: &str, targets: &Targets) {
        self.found = targets.targets.get(&self.path).cloned();
        let Some(delegations) = targets.delegations.as_ref().filter(|_| self.found.is_none())
        else {
            return;
        };
        let mut next = Vec::new();
        for role in delegations.roles.iter().filter(|role| covers(role, &self.path)) {
            next.push((name.to_owned(), role.clone()));
            if role.terminating {
                self.waiting.clear();
                break;
            }
        }
        self.waiting.extend(next.into_iter().rev());
        self.delegations.insert(name.to_owned(), delegations.clone());
    }
}

fn file_name_in_snapshot(role: &str) -> String {
    format!("{role}.json")
}

/// Whether a delegation is about `path`.
fn covers(role: &DelegatedRole, path: &str) -> bool {
    if let Some(prefixes) = &role.path_hash_prefixes {
        let hash = hex::encode(digest(&SHA256, path.as_bytes()).as_ref());
        return prefixes.iter().any(|prefix| hash.starts_with(&**prefix));
    }
    role.paths.iter().flatten().any(|pattern| fits(pattern, path))
}

/// Shell patterns with `*` and `?`, neither of which crosses a slash.
fn fits(pattern: &str, path: &str) -> bool {
    let parts = |text: &str| text.split('/').count();
    parts(pattern) == parts(path)
        && pattern.split('/').zip(path.split('/')).all(|(pattern, part)| {
            let (pattern, part): (Vec<char>, Vec<char>) =
                (pattern.chars().collect(), part.chars().collect());
            fits_part(&pattern, &part)
        })
}

/// Goes back to the last star only, so that no pattern takes more than quadratic time.
fn fits_part(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(one) if *one == '?' || *one == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|one| *one == '*')
}

#[cfg(test)]
mod tests;
