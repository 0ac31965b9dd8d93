"""Cases of the rules on identity and egress."""

from .case import ALLOW, DR, STRICT, VS, Case

CASES = [
    Case(
        "MS411",
        STRICT.replace("STRICT", "PERMISSIVE"),
        "PERMISSIVE",
        "mode PERMISSIVE lets plaintext in",
        ("PERMISSIVE", "STRICT"),
    ),
    Case(
        "MS411",
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: rag\n  annotations:\n"
        "    config.linkerd.io/default-inbound-policy: all-unauthenticated\n",
        "default-inbound-policy",
        "lets in callers without identity",
        ("all-unauthenticated", "all-authenticated"),
    ),
    Case(
        "MS412",
        ALLOW + "  rules:\n    - to: [{operation: {methods: [POST]}}]\n",
        "- to",
        "asks for no principal",
        ("    - to", "    - from: [{source: {principals: [cluster.local/ns/rag/sa/gateway]}}]\n      to"),
    ),
    Case(
        "MS412",
        ALLOW
        + "  rules:\n    - from: [{source: {principals: [cluster.local/ns/rag/sa/gateway]}}]\n"
        + "    - to: [{operation: {methods: [POST]}}]\n",
        "- to",
        "rules are alternatives",
        ("    - to", "      to"),
    ),
    Case(
        "MS413",
        ALLOW + "  rules:\n    - from: [{source: {notPrincipals: [cluster.local/ns/rag/sa/batch]}}]\n",
        "notPrincipals",
        "it passes notPrincipals of this ALLOW rule",
        (
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy",
            STRICT + "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy",
        ),
    ),
    Case(
        "MS414",
        ALLOW + "  rules:\n    - from: [{source: {principals: ['spiffe://cluster.local/ns/rag/sa/gateway']}}]\n",
        "spiffe",
        "it matches nobody",
        ("spiffe://", ""),
    ),
    Case(
        "MS415",
        ALLOW
        + "  rules: []\n---\n"
        + VS.replace("generator", "retriever")
        + "    - route: [{destination: {host: retriever}}]\n      timeout: 1s\n",
        "timeout: 1s",
        "no AuthorizationPolicy is for retriever",
        ("app: generator", "app: retriever"),
    ),
    Case(
        "MS416",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: rag, labels: {istio.io/dataplane-mode: ambient}}\n---\n"
        + ALLOW
        + "  rules:\n    - to: [{operation: {paths: [/v1/chat]}}]\n",
        "paths",
        "a ztunnel does not know paths",
        ("  selector: {matchLabels: {app: generator}}", "  targetRefs: [{kind: Service, name: generator}]"),
    ),
    Case(
        "MS417",
        "apiVersion: v1\nkind: Service\nmetadata: {name: generator, namespace: rag}\n"
        "spec: {ports: [{name: api, port: 8000}]}\n---\n" + ALLOW + "  rules:\n    - to: [{operation: {paths: [/v1/chat]}}]\n",
        "paths",
        "on port 8000, which is not declared HTTP, this never matches",
        ("name: api", "name: http-api"),
    ),
    Case(
        "MS418",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default}\n"
        "spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}\n",
        "ALLOW_ANY",
        "lets calls to any host out",
        ("ALLOW_ANY", "REGISTRY_ONLY"),
    ),
    Case(
        "MS419",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\n"
        "spec:\n  hosts: ['*.provider.example']\n  ports: [{number: 443, name: tls, protocol: TLS}]\n  resolution: NONE\n",
        "hosts",
        "whatever address the caller chose",
        ("NONE", "DNS"),
    ),
    Case(
        "MS419",
        DR + "  trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}\n",
        "insecureSkipVerify",
        "whoever answers for generator is believed",
        ("insecureSkipVerify: true", "caCertificates: /ca.pem, subjectAltNames: [generator]"),
    ),
    Case(
        "MS420",
        "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: generator}\nspec: {port: 80}\n",
        "spec",
        "nothing authorises calls to Server generator",
        ("spec: {port: 80}", "spec: {port: 80, accessPolicy: audit}"),
    ),
    Case(
        "MS420",
        "apiVersion: policy.linkerd.io/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: p}\n"
        "spec:\n  targetRef: {kind: Server, name: generator}\n  requiredAuthenticationRefs: []\n",
        "requiredAuthenticationRefs",
        "lets everybody in",
        ("Refs: []", "Refs: [{kind: ServiceAccount, name: gateway}]"),
    ),
    Case(
        "MS421",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: rag}\n"
        "spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}\n",
        "outboundTrafficPolicy",
        "no NetworkPolicy keeps pods of rag",
        (
            "apiVersion: networking.istio.io/v1\n",
            (
                "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n, namespace: rag}\n"
                "spec: {policyTypes: [Egress]}\n---\napiVersion: networking.istio.io/v1\n"
            ),
        ),
    ),
    Case(
        "MS422",
        ALLOW + "  rules:\n    - when: [{key: 'request.headers[x-tenant]', values: [acme]}]\n",
        "when",
        "whatever the caller writes",
        ("    - when", "    - from: [{source: {principals: [cluster.local/ns/rag/sa/gateway]}}]\n      when"),
    ),
]
