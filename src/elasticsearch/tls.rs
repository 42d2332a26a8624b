//! The TLS side of the client: which certificates are trusted, and why one was not.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;

use super::config::{ConfigError, TlsOptions, VerificationMode};

/// Builds the TLS configuration that `options` ask for; reads the files they name.
pub(super) fn client_config(
    options: &TlsOptions,
) -> Result<Arc<rustls::ClientConfig>, ConfigError> {
    let provider = Arc::new(ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(&options.supported_protocols)?)
        .map_err(|error| ConfigError::new("ssl_supported_protocols", error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier(options, &provider)?));
    let config = match client_identity(options)? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            ConfigError::new(
                "ssl_key",
                format!("the key does not fit the certificate in `ssl_certificate` ({error})"),
            )
        })?,
    };
    Ok(Arc::new(config))
}

fn versions(
    names: &[String],
) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, ConfigError> {
    if names.is_empty() {
        return Ok(vec![&rustls::version::TLS13, &rustls::version::TLS12]);
    }
    names
        .iter()
        .map(|name| match name.as_str() {
            "TLSv1.3" => Ok(&rustls::version::TLS13),
            "TLSv1.2" => Ok(&rustls::version::TLS12),
            "TLSv1" | "TLSv1.1" => Err(ConfigError::new(
                "ssl_supported_protocols",
                format!("{name} is broken and not spoken here: use TLSv1.2 or TLSv1.3"),
            )),
            other => Err(ConfigError::new(
                "ssl_supported_protocols",
                format!("`{other}` is no TLS version: use TLSv1.2 or TLSv1.3"),
            )),
        })
        .collect()
}

fn client_identity(
    options: &TlsOptions,
) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, ConfigError> {
    match (&options.certificate, &options.key) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::new(
            "ssl_certificate",
            "needs its private key: set `ssl_key` too",
        )),
        (None, Some(_)) => Err(ConfigError::new(
            "ssl_key",
            "needs its certificate: set `ssl_certificate` too",
        )),
        (Some(certificate), Some(key)) => {
            let chain = certificates("ssl_certificate", certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                ConfigError::new(
                    "ssl_key",
                    format!(
                        "cannot read a private key (PEM, without passphrase) from {}: {error}",
                        key.display()
                    ),
                )
            })?;
            Ok(Some((chain, key)))
        }
    }
}

fn certificates(
    option: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let fail = |error: String| {
        ConfigError::new(
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

fn verifier(options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Verifier, ConfigError> {
    let fingerprints = options
        .ca_trusted_fingerprint
        .iter()
        .map(|text| fingerprint(text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut pinned = Vec::new();
    for file in &options.certificate_authorities {
        pinned.extend(certificates("ssl_certificate_authorities", file)?);
    }
    let trust = if options.verification == VerificationMode::None {
        Trust::Anybody
    } else {
        Trust::Chain {
            by_roots: root_verifier(&pinned, fingerprints.is_empty(), provider)?,
            pinned,
            fingerprints,
        }
    };
    Ok(Verifier {
        trust,
        provider: Arc::clone(provider),
    })
}

/// A verifier for the given authorities, else for the system's; `None` when only fingerprints are trusted.
fn root_verifier(
    pinned: &[CertificateDer<'static>],
    roots_needed: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<WebPkiServerVerifier>>, ConfigError> {
    let mut roots = RootCertStore::empty();
    if pinned.is_empty() {
        if !roots_needed {
            return Ok(None);
        }
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let cause = found
                .errors
                .first()
                .map(|error| format!(" ({error})"))
                .unwrap_or_default();
            return Err(ConfigError::new(
                "ssl_certificate_authorities",
                format!(
                    "this system has no list of trusted authorities{cause}: install its ca-certificates package, or name a CA file here"
                ),
            ));
        }
    } else {
        for certificate in pinned {
            roots.add(certificate.clone()).map_err(|error| {
                ConfigError::new(
                    "ssl_certificate_authorities",
                    format!("a certificate in these files is unusable: {error}"),
                )
            })?;
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map(Some)
        .map_err(|error| ConfigError::new("ssl_certificate_authorities", error.to_string()))
}

/// The 32 bytes of a hex SHA-256; colons and spaces between the digits are skipped.
fn fingerprint(text: &str) -> Result<[u8; 32], ConfigError> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b": ".contains(b)).collect();
    let wrong = || {
        ConfigError::new(
            "ca_trusted_fingerprint",
            format!("`{text}` is no SHA-256 in hex: expected 64 hex digits"),
        )
    };
    let mut bytes = [0u8; 32];
    if digits.len() != 64 {
        return Err(wrong());
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        let (Some(high), Some(low)) = (
            pair.first().copied().and_then(digit),
            pair.last().copied().and_then(digit),
        ) else {
            return Err(wrong());
        };
        *byte = u8::try_from(high * 16 + low).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

/// SHA-256 through the hash of a TLS 1.3 suite, so that no second crypto library is needed.
fn sha256(data: &[u8]) -> Option<[u8; 32]> {
    let rustls::SupportedCipherSuite::Tls13(suite) = ring::cipher_suite::TLS13_AES_128_GCM_SHA256
    else {
        return None;
    };
    suite
        .common
        .hash_provider
        .hash(data)
        .as_ref()
        .try_into()
        .ok()
}

/// Whom the client believes.
#[derive(Debug)]
enum Trust {
    /// `ssl_verification_mode => none`.
    Anybody,
    /// Authorities (`pinned`, or the system's), or any certificate with one of these fingerprints.
    Chain {
        by_roots: Option<Arc<WebPkiServerVerifier>>,
        pinned: Vec<CertificateDer<'static>>,
        fingerprints: Vec<[u8; 32]>,
    },
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

/// What a server presents in a handshake.
struct Shown<'a> {
    end_entity: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    name: &'a ServerName<'a>,
    ocsp_response: &'a [u8],
    now: UnixTime,
}

impl Verifier {
    /// The certificate of the presented chain that has a trusted fingerprint.
    fn by_fingerprint<'a>(
        fingerprints: &[[u8; 32]],
        end_entity: &'a CertificateDer<'a>,
        intermediates: &'a [CertificateDer<'a>],
    ) -> Option<&'a CertificateDer<'a>> {
        if fingerprints.is_empty() {
            return None;
        }
        std::iter::once(end_entity)
            .chain(intermediates)
            .find(|certificate| sha256(certificate).is_some_and(|sum| fingerprints.contains(&sum)))
    }

    /// Asks `by`, which trusts `pinned` alone when there are any.
    fn check(
        by: &WebPkiServerVerifier,
        pinned: &[CertificateDer<'_>],
        shown: &Shown<'_>,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match by.verify_server_cert(
            shown.end_entity,
            shown.intermediates,
            shown.name,
            shown.ocsp_response,
            shown.now,
        ) {
            // A self-signed server certificate that is marked as a CA, and that the user named as trusted: what
            // `openssl req -x509` makes. Signature algorithm and dates were checked before this error; the name was not.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if is_ca_as_server(&other) && pinned.iter().any(|p| p == shown.end_entity) =>
            {
                let parsed = ParsedCertificate::try_from(shown.end_entity)?;
                rustls::client::verify_server_name(&parsed, shown.name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trust::Chain {
            by_roots,
            pinned,
            fingerprints,
        } = &self.trust
        else {
            return Ok(ServerCertVerified::assertion());
        };
        let shown = Shown {
            end_entity,
            intermediates,
            name: server_name,
            ocsp_response,
            now,
        };
        if let Some(trusted) = Self::by_fingerprint(fingerprints, end_entity, intermediates) {
            let trusted = [trusted.clone().into_owned()];
            let by = root_verifier(&trusted, true, &self.provider)
                .map_err(|error| rustls::Error::General(error.message))?;
            if let Some(by) = by {
                return Self::check(&by, &trusted, &shown);
            }
        }
        match by_roots {
            Some(by) => Self::check(by, pinned, &shown),
            None => Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer,
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Whether the server showed a certificate that is marked as a CA's. The verifier's own error type is not public.
fn is_ca_as_server(error: &rustls::OtherError) -> bool {
    format!("{error:?}").contains("CaUsedAsEndEntity")
}

fn untrusted(url: &str) -> String {
    format!(
        "the certificate of {url} is signed by an authority that is not trusted here: name its CA file in \
         `ssl_certificate_authorities`, or give the CA's `ca_trusted_fingerprint`"
    )
}

/// What a failed TLS handshake means for the user of `url`, with the remedy.
pub(super) fn explain(error: &rustls::Error, url: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => untrusted(url),
        rustls::Error::InvalidCertificate(CertificateError::Other(other))
            if is_ca_as_server(other) =>
        {
            untrusted(url)
        }
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => {
            format!(
                "the certificate of {url} has expired: renew it on the server (or set this machine's clock)"
            )
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => {
            format!("the certificate of {url} is not valid yet: is this machine's clock right?")
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!(
            "the certificate of {url} is made out for another name ({error}): write a name from the certificate in `hosts`; `ssl_verification_mode => \"none\"` would give up all checks"
        ),
        rustls::Error::InvalidCertificate(_) => {
            format!("the certificate of {url} cannot be trusted: {error}")
        }
        rustls::Error::InvalidMessage(_) => format!(
            "{url} does not speak TLS ({error}): write http:// in `hosts`, or is the port wrong?"
        ),
        rustls::Error::AlertReceived(alert) => format!(
            "{url} ended the TLS handshake ({alert:?}): does it ask for a client certificate (`ssl_certificate`, `ssl_key`) or another TLS version?"
        ),
        other => format!("no TLS connection to {url}: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_hex_with_or_without_colons() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let colons: String = empty
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).into_owned() + ":")
            .collect();
        assert_eq!(fingerprint(empty).unwrap(), sha256(b"").unwrap());
        assert_eq!(
            fingerprint(&colons.to_uppercase()).unwrap(),
            sha256(b"").unwrap()
        );
        for wrong in ["", "abc", &"g".repeat(64)] {
            assert!(
                fingerprint(wrong)
                    .unwrap_err()
                    .to_string()
                    .contains("64 hex digits")
            );
        }
    }

    #[test]
    fn missing_files_and_halves_are_named() {
        let missing = TlsOptions {
            certificate_authorities: vec!["/nowhere/ca.pem".into()],
            ..TlsOptions::default()
        };
        let text = client_config(&missing).unwrap_err().to_string();
        assert!(
            text.contains("ssl_certificate_authorities") && text.contains("/nowhere/ca.pem"),
            "{text}"
        );
        let half = TlsOptions {
            certificate: Some("/c.pem".into()),
            verification: VerificationMode::None,
            ..TlsOptions::default()
        };
        assert!(
            client_config(&half)
                .unwrap_err()
                .to_string()
                .contains("ssl_key")
        );
        let old = TlsOptions {
            supported_protocols: vec!["TLSv1.1".into()],
            verification: VerificationMode::None,
            ..TlsOptions::default()
        };
        assert!(
            client_config(&old)
                .unwrap_err()
                .to_string()
                .contains("TLSv1.2")
        );
    }
}
