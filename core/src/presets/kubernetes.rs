//! Service accounts of Kubernetes clusters, and SPIFFE.

use super::{CUSTOM, Form, Keys, Preset, Refused, var};
use crate::bundle::SingleUse;
use crate::jwk::Algorithm;

/// Every container of a pod reads the same file until the kubelet rotates it: reusable.
pub(super) const KUBERNETES: Preset = Preset {
    name: "kubernetes",
    platform: "Kubernetes projected service account tokens",
    issuer: &["{url}"],
    hosts: &["kubernetes.default.svc", "kubernetes.default.svc.cluster.local"],
    vars: &[var("url", Form::Url)],
    keys: Keys::Url("{issuer}/openid/v1/jwks"),
    algorithms: &[Algorithm::RS256, Algorithm::ES256],
    refused_audiences: &[
        Refused { what: "https://kubernetes.default.svc*", why: API_SERVER },
        Refused { what: "kubernetes.default.svc*", why: API_SERVER },
        Refused { what: "api", why: API_SERVER },
        IRSA,
        POD_IDENTITY,
        ENTRA,
    ],
    lifetime_secs: 86_400,
    single_use: SingleUse::Never,
    pins: &[&["/sub"]],
    subject_prefix: Some("system:serviceaccount:"),
    ..CUSTOM
};

pub(super) const EKS: Preset = Preset {
    name: "eks",
    platform: "Amazon EKS service accounts",
    issuer: &["https://oidc.eks.{region}.amazonaws.com/id/{cluster}"],
    hosts: &["oidc.eks.*.amazonaws.com"],
    vars: &[var("region", Form::Name), var("cluster", Form::Name)],
    keys: Keys::Discovery,
    ..KUBERNETES
};

pub(super) const GKE: Preset = Preset {
    name: "gke",
    platform: "Google Kubernetes Engine service accounts",
    issuer: &[
        "https://container.googleapis.com/v1/projects/{project}/locations/{location}/clusters/{cluster}",
    ],
    hosts: &["container.googleapis.com"],
    vars: &[var("project", Form::Name), var("location", Form::Name), var("cluster", Form::Name)],
    keys: Keys::Url("{issuer}/jwks"),
    ..KUBERNETES
};

pub(super) const AKS: Preset = Preset {
    name: "aks",
    platform: "Azure Kubernetes Service service accounts",
    issuer: &["https://{region}.oic.prod-aks.azure.com/{tenant}/{cluster}/"],
    hosts: &["*.oic.prod-aks.azure.com"],
    vars: &[var("region", Form::Name), var("tenant", Form::Uuid), var("cluster", Form::Uuid)],
    keys: Keys::Url("{issuer}openid/v1/jwks"),
    ..KUBERNETES
};

/// JWT-SVIDs of one trust domain. `iss` is optional to SPIFFE and required here, because an
/// issuer is looked up by it: set SPIRE's `jwt_issuer`.
pub(super) const SPIFFE: Preset = Preset {
    name: "spiffe",
    platform: "SPIFFE JWT-SVID",
    issuer: &["{url}"],
    hosts: &[],
    vars: &[var("url", Form::Url), var("trust_domain", Form::Host)],
    keys: Keys::Discovery,
    algorithms: &[
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
    ],
    refused_audiences: &[],
    lifetime_secs: 3_600,
    typ: &["", "jwt", "jose"],
    kid_optional: true,
    subject_prefix: Some("spiffe://{trust_domain}/"),
    ..KUBERNETES
};

const API_SERVER: &str = "it is the API server's, which every pod's default token carries";

const IRSA: Refused = Refused {
    what: "sts.amazonaws.com",
    why: "it is made for IAM roles; project a second token with an audience of its own",
};

const POD_IDENTITY: Refused = Refused {
    what: "pods.eks.amazonaws.com",
    why: "it is made for EKS Pod Identity; project a second token with an audience of its own",
};

const ENTRA: Refused = Refused {
    what: "api://AzureADTokenExchange",
    why: "it is made for Microsoft Entra; project a second token with an audience of its own",
};
