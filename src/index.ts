export {
  type ExchangedToken,
  type ExchangeError,
  type ExchangeOptions,
  ExchangeRefused,
  TokenExchange,
  type WantedToken
} from "./behalf/TokenExchange.ts"
export { type Algorithm } from "./config/Algorithm.ts"
export { ConfigurationProblem, InvalidConfiguration } from "./config/InvalidConfiguration.ts"
export {
  type ClientOptions,
  type IssuerOptions,
  type LengthOfTime,
  OktaConfig,
  type OktaOptions,
  Settings,
  type SeveralIssuersOptions
} from "./config/OktaConfig.ts"
export {
  AdmissionRefused,
  AuditEvent,
  ClientRegistered,
  ConsentDenied,
  ConsentGiven,
  GrantRevoked,
  KeysRotated,
  ReplayDetected,
  RevocationReason,
  ServiceTokenIssued,
  SignedIn,
  SignedOut,
  SignInRefused,
  TokensIssued,
  TokensRefreshed
} from "./observe/AuditEvent.ts"
export { type AuditSink } from "./observe/AuditLog.ts"
/** Okta in front of the routes of an Effect application: one layer, a guard, the metadata. */
export * as OktaAuth from "./OktaAuth.ts"
export { type CredentialsOptions } from "./provider/ClientCredentials.ts"
export { Discovery } from "./provider/Discovery.ts"
export { type VerificationKey } from "./provider/JsonWebKey.ts"
export { Jwks } from "./provider/Jwks.ts"
export { OktaUnavailable } from "./provider/OktaForms.ts"
export { type FetchedDocument, FetchFailed, OktaHttp } from "./provider/OktaHttp.ts"
export { ServerMetadata } from "./provider/ServerMetadata.ts"
export { Grants, type GrantsOf, GrantSummary, NoGrants } from "./proxy/Grants.ts"
export { NoUpstreamTokens, type OktaTokens, UpstreamTokens } from "./proxy/UpstreamTokens.ts"
export { EndpointPolicy, OktaSecurity } from "./resource/ApiSecurity.ts"
export { type Guard } from "./resource/Guard.ts"
export { Readiness } from "./resource/Health.ts"
export { type McpPolicies, type NamedPolicies, ToolPolicy } from "./resource/McpGuard.ts"
export { type Check, InvalidPolicy, Policy } from "./resource/Policy.ts"
export {
  AccessDenied,
  CheckFailed,
  InsufficientAuthentication,
  InsufficientScope,
  type PolicyRefusal
} from "./resource/PolicyRefusal.ts"
export { type ScopeHierarchy } from "./resource/ScopeHierarchy.ts"
/** Keeps the state of proxy mode in the memory of this process. */
export * as MemoryStore from "./store/MemoryStore.ts"
/** Keeps the state of proxy mode in Redis, for several servers. */
export * as RedisStore from "./store/RedisStore.ts"
/** Keeps the state of proxy mode in a SQLite file. */
export * as SqliteStore from "./store/SqliteStore.ts"
export { Store, StoreUnavailable } from "./store/Store.ts"
export { type AccessTokenClaims } from "./token/AccessTokenClaims.ts"
export { type IntrospectionOptions } from "./token/IntrospectingVerifier.ts"
export { CurrentPrincipal, Principal, Service, User } from "./token/Principal.ts"
export { Signature } from "./token/Signature.ts"
export {
  ClientNotAllowed,
  DiscoveryFailed,
  IntrospectionUnavailable,
  InvalidAudience,
  InvalidClaim,
  InvalidIssuer,
  InvalidSignature,
  KeysUnavailable,
  MalformedToken,
  TokenError,
  TokenExpired,
  TokenInactive,
  TokenNotYetValid,
  TokenRefused,
  UnknownKey,
  UnsupportedAlgorithm,
  VerificationUnavailable,
  WrongTokenType
} from "./token/TokenError.ts"
export { type ActiveToken, TokenIntrospection } from "./token/TokenIntrospection.ts"
export { TokenVerifier, type VerifiedToken, type VerifierOptions } from "./token/TokenVerifier.ts"
