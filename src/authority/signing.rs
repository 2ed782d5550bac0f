//! Keys, certificates and lists of revoked ones: ECDSA on P-256, which each TLS library has.

use std::collections::BTreeSet;
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevokedCertParams, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{AuthorityError, Result};
use crate::model::{NodeIdentity, Timestamp};

/// How much earlier than now a certificate begins: the clocks of nodes differ.
const SKEW: Duration = Duration::from_secs(300);
/// The name that the server of enrollments has in its certificate.
pub(super) const ENROLLMENT_NAME: &str = "enrollment.pumice";
/// The URI in the authority's certificate: `pumice://CLUSTER`.
const SCHEME: &str = "pumice://";

fn failed(what: &str) -> impl Fn(rcgen::Error) -> AuthorityError + '_ {
    move |error| AuthorityError::new(format!("{what}: {error}"))
}

/// The private key of a node. It is made on the node, and never leaves it.
pub struct NodeKey(KeyPair);

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeKey")
    }
}

impl NodeKey {
    /// A new key.
    ///
    /// # Errors
    /// If the operating system provides no random numbers.
    pub fn generate() -> Result<Self> {
        KeyPair::generate().map(Self).map_err(failed("a key"))
    }

    /// The key, PEM. Secret.
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// Its public part.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.subject_public_key_info())
    }

    /// A request for a certificate of this key, PEM. It proves that its author has the key; what the certificate will say is not in it.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn request(&self) -> Result<String> {
        let params = CertificateParams::new(Vec::new()).map_err(failed("a request"))?;
        let request = params.serialize_request(&self.0).map_err(failed("a request"))?;
        request.pem().map_err(failed("a request"))
    }
}

/// The public key of a node, DER.
#[derive(Clone, Debug)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// The key of a request for a certificate, whose signature is verified. All else that the request says is ignored.
    ///
    /// # Errors
    /// If it is not such a request.
    pub fn of_request(pem: &str) -> Result<Self> {
        let request = CertificateSigningRequestParams::from_pem(pem)
            .map_err(failed("the request for a certificate"))?;
        Ok(Self(request.public_key.subject_public_key_info()))
    }
}

/// A certificate that was just signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// PEM.
    pub pem: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Its end.
    pub not_after: Timestamp,
}

/// The authority's key and certificate.
pub struct Signer {
    cluster: String,
    certificate_pem: String,
    certificate_der: Vec<u8>,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// A new authority of a cluster, valid for so long.
    ///
    /// # Errors
    /// If the operating system provides no random numbers.
    pub fn new(cluster: &str, now: Timestamp, valid: Duration) -> Result<Self> {
        let key = KeyPair::generate().map_err(failed("a key"))?;
        let mut params = params(now, valid)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Two authorities of clusters with one name have different names.
        let number: [u8; 8] = crate::rng::number();
        params.distinguished_name = named(&format!("Pumice cluster {cluster} {}", hex::encode(number)));
        params.subject_alt_names = vec![uri(&format!("{SCHEME}{cluster}"))?];
        let certificate = params.self_signed(&key).map_err(failed("the certificate"))?;
        Self::from_pem(&key.serialize_pem(), &certificate.pem())
    }

    /// An authority from its files.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn from_pem(key: &str, certificate: &str) -> Result<Self> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes())
            .map_err(|error| AuthorityError::new(format!("the certificate of the authority: {error}")))?;
        let cluster = cluster_of(&pem.contents).ok_or_else(|| {
            AuthorityError::new("the certificate of the authority names no cluster (pumice://CLUSTER)")
        })?;
        let pair = KeyPair::from_pem(key).map_err(failed("the key of the authority"))?;
        let issuer = Issuer::from_ca_cert_pem(certificate, pair)
            .map_err(failed("the certificate of the authority"))?;
        Ok(Self {
            cluster,
            certificate_pem: certificate.to_owned(),
            certificate_der: pem.contents,
            key_pem: key.to_owned(),
            issuer,
        })
    }

    /// The name of the cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The key. Secret.
    pub(super) fn key_pem(&self) -> String {
        self.key_pem.clone()
    }

    /// The certificate, DER.
    pub(super) fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    /// The SHA-256 of the certificate, hexadecimal.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.certificate_der)
    }

    /// Signs a certificate of a node that is valid from `now` on, for so long.
    ///
    /// # Errors
    /// If the node is of another cluster.
    pub fn sign(
        &self,
        identity: &NodeIdentity,
        key: &PublicKey,
        now: Timestamp,
        valid: Duration,
    ) -> Result<Signed> {
        if identity.cluster != self.cluster {
            return Err(AuthorityError::new(format!(
                "the authority is that of cluster '{}', not '{}'",
                self.cluster, identity.cluster
            )));
        }
        let mut params = params(now, valid)?;
        params.distinguished_name = named(&identity.node);
        params.subject_alt_names = identity
            .uris()
            .iter()
            .map(|name| uri(name))
            .collect::<Result<_>>()?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign_params(params, key)
    }

    /// Signs a certificate of another server, for TLS on both sides: it has host names and addresses, and is that of no node.
    ///
    /// # Errors
    /// If a name cannot be that of a host.
    pub fn sign_server(
        &self,
        names: &[String],
        key: &PublicKey,
        now: Timestamp,
        valid: Duration,
    ) -> Result<Signed> {
        let mut params = params(now, valid)?;
        params.distinguished_name = named(names.first().map_or("server", String::as_str));
        params.subject_alt_names = names
            .iter()
            .map(|name| server_name(name))
            .collect::<Result<_>>()?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign_params(params, key)
    }

    /// Signs the certificate of the server of enrollments, which is that of no node.
    pub(super) fn sign_enrollment(&self, key: &PublicKey, now: Timestamp, valid: Duration) -> Result<Signed> {
        let mut params = params(now, valid)?;
        params.distinguished_name = named(ENROLLMENT_NAME);
        params.subject_alt_names = vec![SanType::DnsName(text(ENROLLMENT_NAME)?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign_params(params, key)
    }

    fn sign_params(&self, mut params: CertificateParams, key: &PublicKey) -> Result<Signed> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let mut serial: [u8; 16] = crate::rng::number();
        // Positive, and not shorter.
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let not_after = Timestamp(params.not_after.unix_timestamp().saturating_mul(1_000_000));
        let key = SubjectPublicKeyInfo::from_der(&key.0).map_err(failed("the public key"))?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(failed("the certificate"))?;
        Ok(Signed {
            pem: certificate.pem(),
            serial: hex::encode(serial),
            not_after,
        })
    }

    /// Signs a list of revoked certificates: their serial numbers, and when each was revoked.
    ///
    /// # Errors
    /// If a serial number is not hexadecimal.
    pub fn revocation_list<'s>(
        &self,
        revoked: impl IntoIterator<Item = (&'s str, Timestamp)>,
        now: Timestamp,
    ) -> Result<String> {
        let mut seen = BTreeSet::new();
        let mut revoked_certs = Vec::new();
        for (serial, at) in revoked {
            let bytes = hex::decode(serial)
                .map_err(|error| AuthorityError::new(format!("serial number '{serial}': {error}")))?;
            if seen.insert(bytes.clone()) {
                revoked_certs.push(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&bytes),
                    revocation_time: date(at)?,
                    reason_code: None,
                    invalidity_date: None,
                });
            }
        }
        let number = u64::try_from(now.0).unwrap_or(0);
        let params = CertificateRevocationListParams {
            this_update: date(now)?,
            // A new list comes with each revocation, not by time.
            next_update: date(now.plus(super::AUTHORITY_VALID))?,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let what = "the list of revoked certificates";
        let list = params.signed_by(&self.issuer).map_err(failed(what))?;
        list.pem().map_err(failed(what))
    }
}

/// The SHA-256 of a certificate, hexadecimal.
pub(super) fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}

fn cluster_of(der: &[u8]) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        x509_parser::extensions::GeneralName::URI(uri) => uri.strip_prefix(SCHEME).map(str::to_owned),
        _ => None,
    })
}

fn params(now: Timestamp, valid: Duration) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).map_err(failed("a certificate"))?;
    params.not_before = date(Timestamp(
        now.0.saturating_sub(i64::try_from(SKEW.as_micros()).unwrap_or(0)),
    ))?;
    params.not_after = date(now.plus(valid))?;
    Ok(params)
}

fn date(at: Timestamp) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1_000_000)).map_err(AuthorityError::new)
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn text(value: &str) -> Result<Ia5String> {
    Ia5String::try_from(value).map_err(failed(value))
}

fn server_name(name: &str) -> Result<SanType> {
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let may_be_in_it = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
    if name.is_empty() || name.len() > 253 || !name.chars().all(may_be_in_it) {
        return Err(AuthorityError::new(format!(
            "'{name}' is neither an address nor the name of a host"
        )));
    }
    Ok(SanType::DnsName(text(name)?))
}

fn uri(value: &str) -> Result<SanType> {
    text(value).map(SanType::URI)
}
