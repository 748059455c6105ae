import { Config, Effect } from "effect"

/** What a variable of the environment, or the flag in its place, says; nothing when it is not set. */
export const given = (name: string): Effect.Effect<string> =>
  Effect.map(Effect.orDie(Config.String(name).pipe(Config.withDefault(""))), (text) => text.trim())
