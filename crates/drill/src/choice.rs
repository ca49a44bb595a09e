// SPDX-License-Identifier: Apache-2.0
//! Which templates a run uses, in the shares that its mix asks for.

use crate::DrillError;
use crate::flood::{Flood, Mix};
use crate::message::{self, Method, Template};

/// What one place in the table stands for: a template, or random bytes.
pub(crate) enum Kind {
    Request(usize),
    Noise,
}

/// Places in the table of kinds.
const TABLE: u64 = 4096;

/// Templates that flood may use by default: those of odd messages only when asked for by name.
pub(crate) fn choose(options: &Flood) -> Result<(Vec<Template>, Vec<Kind>), DrillError> {
    let is_wanted = |name: &str| {
        let tool = name.split('/').next().unwrap_or(name);
        if options.grammars.is_empty() {
            tool != "odd"
        } else {
            options.grammars.iter().any(|wanted| wanted == tool || wanted == name)
        }
    };
    for wanted in &options.grammars {
        if !message::names().any(|name| name == wanted || name.split('/').next() == Some(wanted)) {
            return Err(DrillError::Usage(format!("no message template is called {wanted:?}")));
        }
    }
    let mut templates = Vec::new();
    for name in message::names().filter(|name| is_wanted(name)) {
        let template = message::template(name)?;
        if template.has_own_branch() {
            templates.push(template);
        }
    }
    let Mix { invite, register, options: ask, random } = options.mix;
    let total = u64::from(invite) + u64::from(register) + u64::from(ask) + u64::from(random);
    if total == 0 {
        return Err(DrillError::Usage("the mix is empty: give at least one share above 0".to_owned()));
    }
    let mut kinds = Vec::new();
    for (method, share) in [(Method::Invite, invite), (Method::Register, register), (Method::Options, ask)] {
        let of_method: Vec<usize> = (0..templates.len()).filter(|&i| templates[i].method == method).collect();
        if share > 0 && of_method.is_empty() {
            return Err(DrillError::Usage(format!("none of the chosen grammars writes {}", method.name())));
        }
        let places = (u64::from(share) * TABLE).div_ceil(total) as usize;
        kinds.extend(of_method.iter().cycle().take(if share > 0 { places } else { 0 }).map(|&i| Kind::Request(i)));
    }
    kinds.extend((0..(u64::from(random) * TABLE).div_ceil(total)).map(|_| Kind::Noise));
    Ok((templates, kinds))
}
