// SPDX-License-Identifier: Apache-2.0
//! TLS (RFC 8446, RFC 5246) under SIP: our certificate, and what makes us believe a far end (RFC 5922).
//!
//! Who connects to us is not asked for a certificate. A far end to which we connect has to show one that an authority that we believe
//! has given to the name that the operator wrote; it gets ours if it asks.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use guard::{Counter, Tally};
use parking_lot::Mutex;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::config::TlsConfig;
use crate::connections::FarEnd;
use crate::error::EdgeError;
use crate::shared::{Event, Shared};

/// Far ends whose trouble is remembered at most.
const REMEMBERED: usize = 1024;
/// Characters of the reason of a trouble; a far end's certificate may name a thousand hosts.
const LONGEST_REASON: usize = 300;

/// What new handshakes use. Connections that are up keep what they began with.
#[derive(Clone)]
struct Contexts {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

/// TLS as configured.
pub(crate) struct Tls {
    config: TlsConfig,
    in_force: Mutex<Contexts>,
    /// Far ends that failed last time: each change is told once.
    failing: Mutex<HashSet<FarEnd>>,
}

impl Tls {
    /// Read certificate, key and authorities.
    pub(crate) fn load(config: &TlsConfig) -> Result<Self, EdgeError> {
        Ok(Self { config: config.clone(), in_force: Mutex::new(read(config)?), failing: Mutex::default() })
    }

    /// Read them again; what is in force stays if they cannot be used.
    pub(crate) fn reload(&self) -> Result<(), EdgeError> {
        *self.in_force.lock() = read(&self.config)?;
        Ok(())
    }

    /// Handshakes of one stranger at a time.
    pub(crate) const fn max_handshakes_per_source(&self) -> usize {
        self.config.max_handshakes_per_source
    }

    const fn patience(&self) -> Duration {
        Duration::from_secs(self.config.handshake_s)
    }

    /// The handshake of who connected to us; None: it came to no end, which is counted.
    pub(crate) async fn accept(&self, shared: &Shared, stream: TcpStream) -> Option<server::TlsStream<TcpStream>> {
        let acceptor = self.in_force.lock().acceptor.clone();
        let stream = timeout(self.patience(), acceptor.accept(stream)).await.ok().and_then(Result::ok);
        if stream.is_none() {
            count(shared, Counter::HandshakesFailed);
        }
        stream
    }

    /// The handshake with a far end of ours; None: it is not who it has to be, or came to no end. That is counted, and told once.
    pub(crate) async fn connect(
        &self,
        shared: &Shared,
        stream: TcpStream,
        far: &FarEnd,
    ) -> Option<client::TlsStream<TcpStream>> {
        let connector = self.in_force.lock().connector.clone();
        let outcome = match ServerName::try_from(far.domain.clone()) {
            Ok(name) => match timeout(self.patience(), connector.connect(name, stream)).await {
                Ok(ended) => ended.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no end of the handshake within {} s", self.config.handshake_s)),
            },
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(stream) => {
                if self.failing.lock().remove(far) {
                    shared.tell(Event::Trouble(format!("TLS to {} at {} works again", far.domain, far.address)));
                }
                Some(stream)
            }
            Err(why) => {
                count(shared, Counter::FarEndsFailed);
                let mut failing = self.failing.lock();
                if failing.len() < REMEMBERED && failing.insert(far.clone()) {
                    drop(failing);
                    let why: String = why.chars().take(LONGEST_REASON).collect();
                    shared.tell(Event::Trouble(format!("TLS to {} at {} fails: {why}", far.domain, far.address)));
                }
                None
            }
        }
    }
}

fn count(shared: &Shared, counter: Counter) {
    let mut tally = Tally::default();
    tally.add(counter, 1);
    shared.commit(&tally);
}

fn read(config: &TlsConfig) -> Result<Contexts, EdgeError> {
    let chain = certificates("tls.certificate", &config.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|error| unusable("tls.key", &config.key, &in_words(&error)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |error: rustls::Error| unusable("tls.certificate", &config.certificate, &error.to_string());
    let ours = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain.clone(), key.clone_key()))
        .map_err(failed)?;
    let theirs = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(authorities(config)?)
        .with_client_auth_cert(chain, key)
        .map_err(failed)?;
    Ok(Contexts { acceptor: TlsAcceptor::from(Arc::new(ours)), connector: TlsConnector::from(Arc::new(theirs)) })
}

/// Those of the file, or else of the system. A system without any believes nobody.
fn authorities(config: &TlsConfig) -> Result<RootCertStore, EdgeError> {
    let mut store = RootCertStore::empty();
    match &config.ca {
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            for certificate in certificates("tls.ca", path)? {
                store.add(certificate).map_err(|error| unusable("tls.ca", path, &error.to_string()))?;
            }
        }
    }
    Ok(store)
}

/// At least one.
fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, EdgeError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unusable(key, path, &in_words(&error)))?;
    if found.is_empty() { Err(unusable(key, path, &in_words(&pem::Error::NoItemsFound))) } else { Ok(found) }
}

fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "nothing of that kind is in it".into(),
        other => other.to_string(),
    }
}

fn unusable(key: &'static str, path: &Path, why: &str) -> EdgeError {
    EdgeError::Certificate { key, path: path.display().to_string(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("empty.pem"), "").unwrap();
        let config = |certificate| TlsConfig {
            certificate: path(certificate),
            key: path("key.pem"),
            ca: None,
            handshake_s: 1,
            max_handshakes_per_source: 1,
        };
        let said = |certificate| {
            let error = Tls::load(&config(certificate)).err().unwrap();
            (error.to_string(), error.code())
        };
        let (absent, code) = said("absent.pem");
        assert!(absent.starts_with("tls.certificate ") && absent.contains("absent.pem cannot be used: No such file"));
        assert_eq!(code, "certificate");
        assert!(said("empty.pem").0.ends_with("empty.pem cannot be used: nothing of that kind is in it"));
    }
}
