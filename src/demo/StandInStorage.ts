import type { Adapter, Payload } from "oidc-provider"

/**
 * Storage for `oidc-provider` in memory, with Okta's grace for a refresh token that has just been replaced: for
 * `grace` milliseconds it still counts as unused.
 */
export const makeStorage = (grace: number, now: () => number): (model: string) => Adapter => {
  const models = new Map<string, Map<string, Payload>>()
  const consumedAt = new Map<string, number>()

  return (model) => {
    const kept = models.get(model) ?? new Map<string, Payload>()
    models.set(model, kept)
    const isGraced = (id: string) => {
      const at = consumedAt.get(id)
      return model === "RefreshToken" && at !== undefined && now() - at < grace
    }
    return {
      upsert: async (id, payload) => {
        kept.set(id, payload)
      },
      find: async (id) => {
        const payload = kept.get(id)
        return payload !== undefined && isGraced(id) ? { ...payload, consumed: undefined } : payload
      },
      findByUid: async (uid) => [...kept.values()].find((payload) => payload.uid === uid),
      findByUserCode: async () => undefined,
      consume: async (id) => {
        if (!consumedAt.has(id)) consumedAt.set(id, now())
        const payload = kept.get(id)
        if (payload !== undefined) kept.set(id, { ...payload, consumed: true })
      },
      destroy: async (id) => {
        kept.delete(id)
      },
      revokeByGrantId: async (grantId) => {
        for (const entries of models.values()) {
          for (const [id, payload] of entries) {
            if (payload.grantId === grantId) entries.delete(id)
          }
        }
      }
    }
  }
}
