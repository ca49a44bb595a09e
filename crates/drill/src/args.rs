// SPDX-License-Identifier: Apache-2.0
//! `--name value` arguments of the binaries, without a library.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::DrillError;

/// Arguments read from a command line. Each may be taken once; what is left over is an error.
#[derive(Debug)]
pub struct Args {
    values: BTreeMap<String, String>,
}

impl Args {
    /// Reads `--name value` pairs; the names in `flags` stand alone.
    pub fn read(arguments: impl IntoIterator<Item = String>, flags: &[&str]) -> Result<Self, DrillError> {
        let mut values = BTreeMap::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else {
                return Err(DrillError::Usage(format!("{argument:?} is not an option; options begin with --")));
            };
            let value = if flags.contains(&name) {
                String::new()
            } else {
                arguments.next().ok_or_else(|| DrillError::Usage(format!("--{name} needs a value")))?
            };
            if values.insert(name.to_owned(), value).is_some() {
                return Err(DrillError::Usage(format!("--{name} was given twice")));
            }
        }
        Ok(Self { values })
    }

    /// Whether a flag was given.
    pub fn flag(&mut self, name: &str) -> bool {
        self.values.remove(name).is_some()
    }

    /// The value of an option, if it was given.
    pub fn take<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, DrillError> {
        let Some(text) = self.values.remove(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| DrillError::Usage(format!("--{name}: {text:?} cannot be read")))
    }

    /// Says which options nobody asked for.
    pub fn finish(self) -> Result<(), DrillError> {
        match self.values.into_keys().next() {
            Some(name) => Err(DrillError::Usage(format!("there is no option --{name}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Args, DrillError> {
        Args::read(text.split_whitespace().map(str::to_owned), &["quick"])
    }

    #[test]
    fn options_are_taken_by_name() {
        let mut args = read("--rate 5 --quick").unwrap();
        assert_eq!(args.take::<f64>("rate").unwrap(), Some(5.0));
        assert_eq!(args.take::<f64>("rate").unwrap(), None);
        assert!(args.flag("quick"));
        args.finish().unwrap();
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for text in ["rate 5", "--rate", "--rate 1 --rate 2"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("--rate x").unwrap().take::<f64>("rate").is_err());
        assert!(read("--rat 1").unwrap().finish().is_err());
    }
}
