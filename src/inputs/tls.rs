//! TLS for inputs: what a listening socket presents and asks for, whom a connecting one trusts, and the name in a
//! client's certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ConfigBuilder, ConfigSide, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme, WantsVerifier, WantsVersions,
};
use rustls_pki_types::pem::PemObject as _;

use crate::choice;

choice! {
    /// Whether a client must show a certificate.
    pub enum ClientAuthentication {
        /// It is not asked.
        None = "none",
        /// It is asked; one that it shows must be good.
        Optional = "optional",
        /// Without a good one it is refused.
        Required = "required",
    }
}

choice! {
    /// Whether the server's certificate is checked.
    pub enum Verification {
        /// Its chain and its name.
        Full = "full",
        /// Anybody is believed.
        None = "none",
    }
}

/// The files and choices of either side.
#[derive(Debug, Default)]
pub struct TlsFiles {
    /// Own certificate, followed by its chain.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM without a passphrase.
    pub key: Option<PathBuf>,
    /// Certificates that are sent behind the own one.
    pub extra_chain: Vec<PathBuf>,
    /// Authorities that are trusted.
    pub authorities: Vec<PathBuf>,
    /// Names of the cipher suites that are allowed; all when empty.
    pub cipher_suites: Vec<String>,
    /// `TLSv1.2`, `TLSv1.3`; both when empty.
    pub protocols: Vec<String>,
}

/// An option and what is wrong with it.
pub type Refusal = (&'static str, String);

impl TlsFiles {
    /// What a listening socket needs.
    ///
    /// # Errors
    /// The option that is wrong, and a sentence.
    pub fn server(
        &self,
        authentication: ClientAuthentication,
    ) -> Result<Arc<ServerConfig>, Refusal> {
        let provider = self.provider()?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = self.with_versions(builder)?;
        let builder = if authentication == ClientAuthentication::None {
            builder.with_no_client_auth()
        } else {
            if self.authorities.is_empty() {
                return Err((
                    "ssl_client_authentication",
                    "clients cannot be checked without `ssl_certificate_authorities`: name the CA that signs their certificates, or set `ssl_client_authentication => none`".to_owned(),
                ));
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider);
            let verifier = if authentication == ClientAuthentication::Optional {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            let verifier = verifier
                .build()
                .map_err(|error| ("ssl_certificate_authorities", error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        };
        let Some((chain, key)) = self.identity()? else {
            return Err((
                "ssl_enabled",
                "TLS needs `ssl_certificate` and `ssl_key`".to_owned(),
            ));
        };
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| unfit(&error))?;
        Ok(Arc::new(config))
    }

    /// What a connecting socket needs.
    ///
    /// # Errors
    /// The option that is wrong, and a sentence.
    pub fn client(&self, verification: Verification) -> Result<Arc<ClientConfig>, Refusal> {
        let provider = self.provider()?;
        let builder =
            self.with_versions(ClientConfig::builder_with_provider(Arc::clone(&provider)))?;
        let builder = match verification {
            Verification::Full => builder.with_root_certificates(self.roots()?),
            Verification::None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        };
        let config = match self.identity()? {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unfit(&error))?,
        };
        Ok(Arc::new(config))
    }

    fn provider(&self) -> Result<Arc<CryptoProvider>, Refusal> {
        let mut provider = ring::default_provider();
        if !self.cipher_suites.is_empty() {
            let all: Vec<(String, _)> = provider
                .cipher_suites
                .iter()
                .map(|suite| {
                    (
                        format!("{:?}", suite.suite()).replace("TLS13_", "TLS_"),
                        *suite,
                    )
                })
                .collect();
            provider.cipher_suites = self
                .cipher_suites
                .iter()
                .map(|wanted| {
                    let found = all.iter().find(|(name, _)| name == wanted);
                    found.map(|(_, suite)| *suite).ok_or_else(|| {
                        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
                        (
                            "ssl_cipher_suites",
                            format!(
                                "`{wanted}` is not spoken here; there are {}",
                                names.join(", ")
                            ),
                        )
                    })
                })
                .collect::<Result<_, Refusal>>()?;
        }
        Ok(Arc::new(provider))
    }

    fn with_versions<S: ConfigSide>(
        &self,
        builder: ConfigBuilder<S, WantsVersions>,
    ) -> Result<ConfigBuilder<S, WantsVerifier>, Refusal> {
        let mut versions = Vec::new();
        for name in &self.protocols {
            versions.push(match name.as_str() {
                "TLSv1.3" => &rustls::version::TLS13,
                "TLSv1.2" => &rustls::version::TLS12,
                other => {
                    return Err((
                        "ssl_supported_protocols",
                        format!("`{other}` is not spoken here: use TLSv1.2 or TLSv1.3"),
                    ));
                }
            });
        }
        if versions.is_empty() {
            versions.extend([&rustls::version::TLS13, &rustls::version::TLS12]);
        }
        builder
            .with_protocol_versions(&versions)
            .map_err(|error| ("ssl_supported_protocols", error.to_string()))
    }

    fn identity(
        &self,
    ) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, Refusal> {
        match (&self.certificate, &self.key) {
            (None, None) => Ok(None),
            (Some(_), None) => Err((
                "ssl_certificate",
                "needs its private key: set `ssl_key` too".to_owned(),
            )),
            (None, Some(_)) => Err((
                "ssl_key",
                "needs its certificate: set `ssl_certificate` too".to_owned(),
            )),
            (Some(certificate), Some(key)) => {
                let mut chain = certificates("ssl_certificate", certificate)?;
                for file in &self.extra_chain {
                    chain.extend(certificates("ssl_extra_chain_certs", file)?);
                }
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                    (
                        "ssl_key",
                        format!("cannot read a private key (PEM, without a passphrase) from {}: {error}", key.display()),
                    )
                })?;
                Ok(Some((chain, key)))
            }
        }
    }

    /// The authorities that are named, else the system's.
    fn roots(&self) -> Result<RootCertStore, Refusal> {
        let mut roots = RootCertStore::empty();
        for file in &self.authorities {
            for certificate in certificates("ssl_certificate_authorities", file)? {
                roots.add(certificate).map_err(|error| {
                    (
                        "ssl_certificate_authorities",
                        format!("{}: {error}", file.display()),
                    )
                })?;
            }
        }
        if self.authorities.is_empty() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err((
                    "ssl_certificate_authorities",
                    "this system has no list of trusted authorities: install its ca-certificates package, or name a CA file here".to_owned(),
                ));
            }
        }
        Ok(roots)
    }
}

fn unfit(error: &rustls::Error) -> Refusal {
    (
        "ssl_key",
        format!("the key does not fit the certificate in `ssl_certificate` ({error})"),
    )
}

fn certificates(
    option: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let fail = |error: String| {
        (
            option,
            format!(
                "cannot read certificates (PEM) from {}: {error}",
                file.display()
            ),
        )
    };
    let found = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fail(error.to_string()))?;
    if found.is_empty() {
        return Err(fail("the file holds none".to_owned()));
    }
    Ok(found)
}

/// `ssl_verification_mode => none`: only the signatures of the handshake are checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The subject of a certificate as RFC 2253 writes it, the last part first: `CN=client,O=example`.
#[must_use]
pub fn subject(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = der(certificate, 0x30)?;
    let (mut fields, _) = der(certificate, 0x30)?;
    if fields.first() == Some(&0xA0) {
        fields = der(fields, 0xA0)?.1;
    }
    // Serial number, algorithm, issuer, validity.
    for tag in [0x02, 0x30, 0x30, 0x30] {
        fields = der(fields, tag)?.1;
    }
    let (mut name, _) = der(fields, 0x30)?;
    let mut parts = Vec::new();
    while !name.is_empty() {
        let (mut set, rest) = der(name, 0x31)?;
        name = rest;
        let mut pairs = Vec::new();
        while !set.is_empty() {
            let (pair, rest) = der(set, 0x30)?;
            set = rest;
            let (id, value) = der(pair, 0x06)?;
            let (text, _) = der(value, *value.first()?)?;
            pairs.push(format!(
                "{}={}",
                attribute_name(id),
                escape_name(&String::from_utf8_lossy(text))
            ));
        }
        parts.push(pairs.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

/// One element of DER with the given tag: its contents, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    let (len, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7F);
        let digits = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
        let len = digits
            .iter()
            .fold(0, |len, digit| (len << 8) | usize::from(*digit));
        (len, rest.get(count..)?)
    };
    Some((rest.get(..len)?, rest.get(len..)?))
}

fn attribute_name(id: &[u8]) -> String {
    let name = match id {
        [0x55, 0x04, 3] => "CN",
        [0x55, 0x04, 6] => "C",
        [0x55, 0x04, 7] => "L",
        [0x55, 0x04, 8] => "ST",
        [0x55, 0x04, 9] => "STREET",
        [0x55, 0x04, 10] => "O",
        [0x55, 0x04, 11] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 0x01, 0x19] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 0x01, 0x01] => "UID",
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x01] => "1.2.840.113549.1.9.1",
        [0x55, 0x04, last] => return format!("2.5.4.{last}"),
        _ => "OID",
    };
    name.to_owned()
}

fn escape_name(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told() {
        let files = TlsFiles::default();
        let refused = |result: Result<_, Refusal>| {
            result
                .err()
                .map(|(option, text)| format!("{option}: {text}"))
                .unwrap()
        };
        assert!(
            refused(files.server(ClientAuthentication::Required))
                .contains("ssl_certificate_authorities")
        );
        assert!(refused(files.server(ClientAuthentication::None)).contains("ssl_key"));
        let files = TlsFiles {
            certificate: Some("/nowhere.pem".into()),
            ..TlsFiles::default()
        };
        assert!(refused(files.server(ClientAuthentication::None)).contains("ssl_key"));
        let files = TlsFiles {
            protocols: vec!["TLSv1.1".into()],
            ..TlsFiles::default()
        };
        assert!(refused(files.server(ClientAuthentication::None)).contains("TLSv1.2"));
        let files = TlsFiles {
            cipher_suites: vec!["RC4".into()],
            ..TlsFiles::default()
        };
        assert!(
            refused(files.server(ClientAuthentication::None)).contains("TLS_AES_128_GCM_SHA256")
        );
        let files = TlsFiles {
            cipher_suites: vec!["TLS_AES_128_GCM_SHA256".into()],
            ..TlsFiles::default()
        };
        assert!(
            files
                .provider()
                .is_ok_and(|provider| provider.cipher_suites.len() == 1)
        );
    }

    #[test]
    fn a_broken_certificate_has_no_subject() {
        for bytes in [&b""[..], b"\x30", b"\x30\x82\xFF\xFF\x30", &[0x30; 40]] {
            assert_eq!(subject(bytes), None);
        }
    }
}
