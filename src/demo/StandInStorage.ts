import { Duration, Effect, Option, Schema } from "effect"
import { createHash } from "node:crypto"
import type { Adapter, Payload } from "oidc-provider"
import type { Store } from "../store/Store.ts"

/** Everything is kept for longer than anybody looks on; `oidc-provider` watches over its own times. */
const keptFor = Duration.days(3650)

const Json = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))

/** Objects of JSON, by kind and name. */
export interface Memory {
  readonly get: (kind: string, name: string) => Effect.Effect<Payload | undefined>
  readonly put: (kind: string, name: string, value: Payload) => Effect.Effect<void>
  readonly remove: (kind: string, name: string) => Effect.Effect<void>
}

/** A memory in a store: with a file it outlives the process. */
export const inStore = (store: Store["Service"]): Memory => {
  // Names may be longer than keys of a store.
  const keyOf = (kind: string, name: string) => `${kind}:${createHash("sha256").update(name).digest("base64url")}`
  return {
    get: (kind, name) =>
      store.get(keyOf(kind, name)).pipe(
        Effect.flatMap(Option.match({
          onNone: () => Effect.undefined,
          onSome: (text) => Schema.decodeEffect(Json)(text)
        })),
        Effect.orDie
      ),
    put: (kind, name, value) => Effect.orDie(store.put(keyOf(kind, name), JSON.stringify(value), keptFor)),
    remove: (kind, name) => Effect.orDie(store.remove(keyOf(kind, name)))
  }
}

/**
 * Storage for `oidc-provider`, with Okta's grace for a refresh token that has just been replaced: for `grace` milliseconds it
 * still counts as unused.
 */
export const makeStorage =
  (memory: Memory, grace: number, now: () => number): (model: string) => Adapter => (model) => {
    const find = Effect.fnUntraced(function*(id: string) {
      const kept = yield* memory.get(model, id)
      if (kept === undefined) return undefined
      const { consumedAt, ...payload } = kept
      if (payload.grantId !== undefined && (yield* memory.get("RevokedGrant", payload.grantId)) !== undefined) {
        return undefined
      }
      if (typeof consumedAt !== "number") return payload
      return model === "RefreshToken" && now() - consumedAt < grace ? payload : { ...payload, consumed: true }
    })
    const run = Effect.runPromise
    return {
      upsert: (id, payload) =>
        run(Effect.gen(function*() {
          yield* memory.put(model, id, payload)
          if (payload.uid !== undefined) yield* memory.put(`${model}Uid`, payload.uid, { id })
        })),
      find: (id) => run(find(id)),
      findByUid: (uid) =>
        run(Effect.flatMap(
          memory.get(`${model}Uid`, uid),
          (found) => typeof found?.["id"] === "string" ? find(found["id"]) : Effect.undefined
        )),
      findByUserCode: () => run(Effect.undefined),
      consume: (id) =>
        run(
          Effect.flatMap(memory.get(model, id), (kept) =>
            kept === undefined ? Effect.void : memory.put(model, id, { consumedAt: now(), ...kept }))
        ),
      destroy: (id) => run(memory.remove(model, id)),
      revokeByGrantId: (grantId) => run(memory.put("RevokedGrant", grantId, { revoked: true }))
    }
  }
