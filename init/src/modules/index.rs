//! depmod's index files, and from them the modules to load, in order.
//! Pure: the files come in as text, a list of loads comes out.

use super::alias;
use std::collections::{BTreeSet, HashMap, HashSet};

/// A module to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Load {
    /// The module's name, with underscores.
    pub(crate) name: String,
    /// Its file, relative to the modules' folder.
    pub(crate) path: String,
    /// The modules of the same plan that must be in before it.
    pub(crate) after: Vec<String>,
}

/// The texts of the index files. A file that does not exist is an empty text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    /// `modules.dep`
    pub(crate) dep: String,
    /// `modules.alias`
    pub(crate) alias: String,
    /// `modules.softdep`
    pub(crate) softdep: String,
    /// `modules.builtin`
    pub(crate) builtin: String,
}

/// The index, borrowing the texts.
pub(crate) struct Index<'a> {
    modules: HashMap<String, (&'a str, Vec<String>)>,
    aliases: Vec<(&'a str, &'a str)>,
    soft: HashMap<String, Vec<&'a str>>,
    builtin: HashSet<String>,
}

impl<'a> Index<'a> {
    /// Reads the index. Lines that make no sense are passed over: an index with
    /// one odd line still has to bring up the disk.
    pub(crate) fn parse(texts: &'a Texts) -> Self {
        let mut modules = HashMap::new();
        for line in texts.dep.lines() {
            if let Some((path, needs)) = line.split_once(':') {
                let needs = needs.split_whitespace().map(name_of_file).collect();
                modules.insert(name_of_file(path), (path, needs));
            }
        }
        let mut aliases = Vec::new();
        for line in texts.alias.lines() {
            let mut words = line.split_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) =
                (words.next(), words.next(), words.next())
            {
                aliases.push((pattern, module));
            }
        }
        let mut soft = HashMap::new();
        for line in texts.softdep.lines() {
            let mut words = line.split_whitespace();
            if let (Some("softdep"), Some(module)) = (words.next(), words.next()) {
                let after_pre = words.skip_while(|word| *word != "pre:").skip(1);
                let needs: Vec<_> = after_pre.take_while(|word| *word != "post:").collect();
                soft.insert(name(module), needs);
            }
        }
        let builtin = texts.builtin.lines().map(name_of_file).collect();
        Self { modules, aliases, soft, builtin }
    }

    /// Whether the kernel holds `module` without loading anything.
    pub(crate) fn is_builtin(&self, module: &str) -> bool {
        self.builtin.contains(&name(module))
    }

    /// The modules that `request`, a module's name or a device's alias, stands
    /// for; empty when there is none.
    pub(crate) fn find(&self, request: &str) -> Vec<String> {
        let as_name = name(request);
        if self.modules.contains_key(&as_name) {
            return vec![as_name];
        }
        let matching = self.aliases.iter().filter(|(pattern, _)| {
            alias::matches(pattern, request) || (pattern.contains('_') && *pattern == as_name)
        });
        let mut found = Vec::new();
        for (_, module) in matching {
            let module = name(module);
            if self.modules.contains_key(&module) && !found.contains(&module) {
                found.push(module);
            }
        }
        found
    }

    /// Everything to load for `requests`, what is needed first, leaving out what
    /// is in `loaded`. Empty when nothing matches or nothing is left to do.
    pub(crate) fn plan<'r>(
        &self,
        requests: impl IntoIterator<Item = &'r str>,
        loaded: &HashSet<String>,
    ) -> Vec<Load> {
        let mut plan = Vec::new();
        let mut seen = loaded.clone();
        for request in requests {
            for module in self.find(request) {
                self.visit(&module, &mut seen, &mut plan);
            }
        }
        plan
    }

    /// Whether there is something for `module` to drive among the devices with the
    /// aliases `present`; always so for one that is no device's driver.
    pub(crate) fn is_of_use(&self, module: &str, present: &BTreeSet<String>) -> bool {
        let module = name(module);
        let of_module = self.aliases.iter().filter(|(_, of)| name(of) == module);
        // Those of devices name their bus first.
        let mut devices = of_module.map(|(pattern, _)| *pattern).filter(|p| p.contains(':'));
        let Some(first) = devices.next() else { return true };
        let fits = |pattern: &str| present.iter().any(|device| alias::matches(pattern, device));
        fits(first) || devices.any(fits)
    }

    /// Whether `request` names a module or an alias of one, loaded or built in.
    pub(crate) fn knows(&self, request: &str) -> bool {
        self.is_builtin(request) || !self.find(request).is_empty()
    }

    /// Depth first, so that needs come before the needy; `seen` breaks cycles.
    fn visit(&self, module: &str, seen: &mut HashSet<String>, plan: &mut Vec<Load>) {
        let Some((path, needs)) = self.modules.get(module) else {
            return;
        };
        if !seen.insert(module.to_owned()) {
            return;
        }
        let mut all = Vec::new();
        for request in self.soft.get(module).into_iter().flatten() {
            let found = self.find(request);
            // Several do the same, such as the checksum in C and in assembler: one is enough.
            if found.len() < 2 || !found.iter().any(|module| seen.contains(module)) {
                all.extend(found);
            }
        }
        // depmod lists the deepest need last.
        all.extend(needs.iter().rev().cloned());
        for need in &all {
            self.visit(need, seen, plan);
        }
        // What is not in the plan by now is loaded, unknown, or part of a cycle.
        all.retain(|need| plan.iter().any(|load| load.name == *need));
        plan.push(Load { name: module.to_owned(), path: (*path).to_owned(), after: all });
    }
}

/// A module's name as the kernel writes it.
pub(crate) fn name(text: &str) -> String {
    text.replace('-', "_")
}

/// `kernel/fs/fat/vfat.ko.xz` to `vfat`.
fn name_of_file(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    name(file.split(".ko").next().unwrap_or(file))
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
