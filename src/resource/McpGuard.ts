import { Context, Effect, Result, Schema } from "effect"
import type { McpSchema, McpServer, Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServerRequest } from "effect/http"
import { OktaConfig } from "../config/OktaConfig.ts"
import { CurrentPrincipal } from "../token/Principal.ts"
import * as Authentication from "./Authentication.ts"
import { decider } from "./Decision.ts"
import type { Guard } from "./Guard.ts"
import { type Target, targetsOf } from "./McpMessage.ts"
import { InvalidPolicy, type Policy } from "./Policy.ts"
import { PolicyDemands } from "./PolicyDemands.ts"
import * as RequestBody from "./RequestBody.ts"
import { allOf, compile, type Rule } from "./Rule.ts"
import type { ScopeHierarchy } from "./ScopeHierarchy.ts"

/**
 * The policy of a tool, as an annotation.
 *
 * @example
 * ```ts
 * import { ToolPolicy } from "effect-okta"
 * import { Tool } from "effect/ai"
 *
 * export const DeleteFile = Tool.make("deleteFile").annotate(ToolPolicy, { scopes: "files:write" })
 * ```
 */
export class ToolPolicy extends Context.Service<ToolPolicy, Policy>()("effect-okta/resource/ToolPolicy") {}

/** Policies by name; that of `*` is for whatever is not named. */
export interface NamedPolicies {
  readonly [name: string]: Policy
}

/** Policies of the parts of an MCP server. A part without one is open to whoever may use the server. */
export interface McpPolicies {
  /** For every request. */
  readonly policy?: Policy | undefined
  /** For calls of tools: a toolkit whose tools are annotated with `ToolPolicy`, or policies by the names of the tools. */
  readonly tools?: Toolkit.Any | NamedPolicies | undefined
  /** For prompts, by their names. */
  readonly prompts?: NamedPolicies | undefined
  /** For resources, by their URIs as they are registered; those of a template are told apart by `*` only. */
  readonly resources?: NamedPolicies | undefined
}

/** The rules of the parts that have one. */
interface Rules {
  readonly all: ReadonlyArray<Rule>
  readonly at: (target: Target) => Rule | undefined
}

const isToolkit = (tools: Toolkit.Any | NamedPolicies): tools is Toolkit.Any => "~effect/ai/Toolkit" in tools

const policyOf = ({ annotations }: Tool.Any): Policy | undefined => Context.getOrUndefined(annotations, ToolPolicy)

const byName = (tools: Toolkit.Any | NamedPolicies): ReadonlyArray<readonly [name: string, policy: Policy]> =>
  isToolkit(tools)
    ? Object.values(tools.tools).flatMap((tool) => {
      const policy = policyOf(tool)
      return policy === undefined ? [] : [[tool.name, policy] as const]
    })
    : Object.entries(tools)

const rulesOf = (policies: McpPolicies, hierarchy: ScopeHierarchy): Result.Result<Rules, InvalidPolicy> =>
  Result.gen(function*() {
    const rules = {
      tools: new Map<string, Rule>(),
      prompts: new Map<string, Rule>(),
      resources: new Map<string, Rule>()
    }
    for (const kind of ["tools", "prompts", "resources"] as const) {
      for (const [name, policy] of byName(policies[kind] ?? {})) {
        if (kind === "resources" && name.includes("{")) return yield* Result.fail(ofTemplate(name))
        rules[kind].set(name, yield* compile(policy, hierarchy, `${kind}[${JSON.stringify(name)}].`))
      }
    }
    return {
      all: Object.values(rules).flatMap((named) => [...named.values()]),
      at: ({ kind, name }: Target) => rules[kind].get(name) ?? rules[kind].get("*")
    }
  })

/** A request names a resource, never the template by which the server finds it. */
const ofTemplate = (name: string) =>
  new InvalidPolicy({
    field: "resources",
    value: JSON.stringify(name),
    problem: "is a template. Give the URIs of resources as they are registered, and `*` for all others."
  })

/**
 * Guards an MCP endpoint, with a policy for each tool, prompt and resource that has one. A request is answered before the
 * server sees it: with 403 and every scope that it needs at once, those of the endpoint among them.
 *
 * **Details**
 *
 * The body is read, up to 4 MiB or `HttpServerRequest.MaxBodySize`, and handed on; of a batch every call must be allowed.
 * A body that is no JSON, or could be read in two ways, is answered with a JSON-RPC error and status 400, one that is too
 * long with 413.
 *
 * **Gotchas**
 *
 * A policy that is not in order stops the layer with a defect that says what is wrong.
 *
 * @see https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization#runtime-insufficient-scope-errors
 * @example
 * ```ts
 * import { OktaAuth, ToolPolicy } from "effect-okta"
 * import { Tool, Toolkit } from "effect/ai"
 *
 * const Tools = Toolkit.make(
 *   Tool.make("listFiles"),
 *   Tool.make("deleteFile").annotate(ToolPolicy, { scopes: "files:write" })
 * )
 *
 * export const guard = OktaAuth.mcpGuard({ policy: { scopes: "files:read" }, tools: Tools })
 * ```
 */
export const mcpGuard = (policies: McpPolicies): Guard =>
  HttpRouter.middleware<{ provides: CurrentPrincipal }>()(
    Effect.gen(function*() {
      const { scopeHierarchy } = yield* OktaConfig
      const { allow, identify, refuse, ruleOf } = yield* Authentication.make
      const whole = yield* Effect.orDie(ruleOf(policies.policy))
      const rules = yield* Effect.orDie(Effect.fromResult(rulesOf(policies, scopeHierarchy)))
      yield* Effect.forEach(rules.all, (yield* PolicyDemands).note)
      const ruleFor = (targets: ReadonlyArray<Target>) =>
        targets.length === 0 ? whole : allOf([whole, ...targets.flatMap((target) => rules.at(target) ?? [])])

      return (httpEffect) =>
        Effect.withFiber((fiber) => {
          const request = Context.getUnsafe(fiber.context, HttpServerRequest.HttpServerRequest)
          return identify(request, whole, (principal) => {
            const proceed = (rule: Rule, request: HttpServerRequest.HttpServerRequest) =>
              allow(request, rule, principal, () =>
                httpEffect.pipe(
                  Effect.provideService(CurrentPrincipal, principal),
                  Effect.provideService(HttpServerRequest.HttpServerRequest, request)
                ))
            return rules.all.length === 0 || withoutBody.has(request.method) ?
              proceed(whole, request) :
              Effect.matchEffect(
                RequestBody.read(request),
                {
                  onFailure: (refusal) => refuse(refusal, request, whole),
                  onSuccess: ({ body, request }) => {
                    const targets = targetsOf(body, request.headers)
                    return "reason" in targets
                      ? refuse(targets, request, whole)
                      : proceed(ruleFor(targets), request)
                  }
                }
              )
          })
        })
    })
  )

/** Methods by which nothing is called. */
const withoutBody = new Set(["GET", "HEAD", "OPTIONS", "DELETE"])

/** How visibility is decided. */
export interface VisibilityOptions {
  /** Hide also what the caller could use after asking for more scopes or a stronger sign-in (false). */
  readonly hideReachable?: boolean | undefined
}

/**
 * The check for `McpServer.visibility`, which hides tools, prompts and resources from those whom their policies refuse.
 *
 * **Details**
 *
 * What more scopes or a stronger sign-in would open stays in the lists, so that clients try it and are told what to ask
 * for; as does what cannot be told at the moment. Whoever calls something must fit its policy in full.
 *
 * @example
 * ```ts
 * import { OktaAuth, ToolPolicy } from "effect-okta"
 * import { Layer } from "effect"
 * import { McpServer, Tool, Toolkit } from "effect/ai"
 *
 * const Tools = Toolkit.make(Tool.make("deleteFile").annotate(ToolPolicy, { groups: "Admins" }))
 *
 * export const Registrations = McpServer.toolkit(Tools).pipe(
 *   Layer.provide(McpServer.visibility(OktaAuth.mcpVisibility({ tools: Tools })).layer)
 * )
 * ```
 */
export const mcpVisibility = (
  policies: Omit<McpPolicies, "policy">,
  { hideReachable = false }: VisibilityOptions = {}
): Effect.Effect<McpServer.visibility.Check<McpSchema.McpErrorBase, CurrentPrincipal>, never, OktaConfig> =>
  Effect.gen(function*() {
    const { scopeHierarchy } = yield* OktaConfig
    const decide = yield* decider
    const rules = yield* Effect.orDie(Effect.fromResult(rulesOf(policies, scopeHierarchy)))

    return ({ method, payload, target }) => {
      const kind = kindOf(method, payload)
      const rule = rules.at({ kind, name: target })
      if (rule === undefined) return Effect.succeed(true)
      const isList = method.endsWith("/list")
      return Effect.flatMap(CurrentPrincipal, (principal) =>
        Effect.matchEffect(decide(rule, principal), {
          onSuccess: () => Effect.succeed(true),
          onFailure: ({ _tag }) =>
            _tag === "CheckFailed" && !isList
              ? Effect.fail(cannotTell)
              : Effect.succeed(isList && (_tag === "CheckFailed" || _tag !== "AccessDenied" && !hideReachable))
        }))
    }
  })

/** JSON-RPC 2.0 section 5.1: an internal error. */
const cannotTell = { code: -32603, message: "Whether you may do this cannot be told at the moment." }

const kindOf = (method: McpServer.MiddlewareMethod, payload: unknown): Target["kind"] => {
  const [kind] = method.split("/")
  return kind === "tools" || kind === "prompts" || kind === "resources"
    ? kind
    : isOfPrompt(payload)
    ? "prompts"
    : "resources"
}

/** Whether a completion is one of a prompt's argument, and not of a template's. */
const isOfPrompt = Schema.is(Schema.Struct({ reference: Schema.Struct({ type: Schema.Literal("prompt") }) }))
