/** The part of `oidc-provider` that the Okta stand-in uses; the package brings no types of its own. */
declare module "oidc-provider" {
  import type { IncomingMessage, ServerResponse } from "node:http"

  export interface Client {
    readonly clientId: string
  }

  export interface Account {
    readonly accountId: string
    readonly claims: (use: string, scope: string) => Readonly<Record<string, unknown>> & { readonly sub: string }
  }

  /** What a token, code or grant remembers. */
  export interface Entity {
    readonly jti: string
    readonly clientId: string
    readonly accountId?: string
    readonly scope?: string
    readonly authTime?: number
    readonly acr?: string
    readonly amr?: ReadonlyArray<string>
    readonly sessionUid?: string
    readonly jkt?: string
    readonly expiration: number
  }

  export interface Entities {
    readonly AccessToken?: Entity
    readonly ClientCredentials?: Entity
    readonly AuthorizationCode?: Entity
    readonly RefreshToken?: Entity
    readonly Client?: Client
  }

  export interface Context {
    readonly req: IncomingMessage
    readonly res: ServerResponse
    readonly method: string
    readonly path: string
    query: Record<string, string | Array<string> | undefined>
    status: number
    type: string
    body: unknown
    get(header: string): string
    set(header: string, value: string): void
    redirect(url: string): void
    readonly response: { get(header: string): string }
    /** Absent when no route of the provider took the request. */
    readonly oidc?: {
      readonly entities: Entities
      readonly params: Readonly<Record<string, unknown>>
      readonly body?: Readonly<Record<string, unknown>>
      readonly session?: { readonly acr?: string }
      readonly client?: Client
    }
  }

  export interface Interaction {
    readonly uid: string
    readonly prompt: { readonly name: string }
    readonly params: Readonly<Record<string, string | undefined>>
    readonly session?: { readonly accountId: string }
  }

  /** What the provider keeps under an identifier; it never looks inside otherwise than by these members. */
  export interface Payload {
    readonly [member: string]: unknown
    readonly grantId?: string
    readonly uid?: string
    readonly consumed?: unknown
  }

  export interface Adapter {
    upsert(id: string, payload: Payload, expiresIn?: number): Promise<void>
    find(id: string): Promise<Payload | undefined>
    findByUid(uid: string): Promise<Payload | undefined>
    findByUserCode(code: string): Promise<Payload | undefined>
    consume(id: string): Promise<void>
    destroy(id: string): Promise<void>
    revokeByGrantId(grantId: string): Promise<void>
  }

  export interface Grant {
    addOIDCScope(scope: string): void
    save(): Promise<string>
  }

  export class Provider {
    constructor(issuer: string, configuration: Readonly<Record<string, unknown>>)
    readonly Grant: new(of: { readonly accountId: string; readonly clientId: string }) => Grant
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>
    registerGrantType(
      name: string,
      handler: (context: Context) => Promise<void>,
      parameters: ReadonlyArray<string>
    ): void
    use(middleware: (context: Context, next: () => Promise<void>) => Promise<void>): this
    on(event: "server_error", listener: (context: Context, error: Error) => void): this
    interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<Interaction>
    interactionFinished(
      request: IncomingMessage,
      response: ServerResponse,
      result: Readonly<Record<string, unknown>>
    ): Promise<void>
  }

  export namespace errors {
    class InvalidRequest extends Error {
      constructor(description: string)
    }
    class InvalidGrant extends Error {
      constructor(description: string)
    }
    class InvalidTarget extends Error {
      constructor(description: string)
    }
    class InvalidScope extends Error {
      constructor(description: string, scope?: string)
    }
  }

  export namespace interactionPolicy {
    class Check {
      constructor(reason: string, description: string, check: (context: Context) => boolean)
    }
    function base(): { get(prompt: "login" | "consent"): { readonly checks: { add(check: Check): void } } }
  }
}
