import { NodeServices } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Redacted } from "effect"
import type { HttpClient } from "effect/http"
import { diagnose } from "../../../src/cli/doctor.ts"
import type { Check, Outcome } from "../../../src/cli/doctor/Check.ts"
import type { Examination } from "../../../src/cli/doctor/Examination.ts"
import { OktaHttp } from "../../../src/provider/OktaHttp.ts"

/** An environment; `undefined` takes a variable away. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Where something is wrong, and with what. */
export interface Case {
  readonly environment: Environment
  readonly client: Layer.Layer<HttpClient.HttpClient>
  readonly examination?: Partial<Omit<Examination, "token">>
  readonly token?: string | undefined
}

/** What `effect-okta doctor` finds; without more said, this server itself is not asked. */
export const doctor = ({ client, environment, examination, token }: Case) =>
  diagnose({
    options: { protectedPaths: "/mcp" },
    timeout: Duration.seconds(3),
    server: false,
    token: token === undefined ? undefined : Redacted.make(token),
    ...examination
  }).pipe(
    Effect.provide([
      Layer.provide(OktaHttp.layer, client),
      NodeServices.layer,
      ConfigProvider.layer(
        ConfigProvider.fromUnknown(
          Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined))
        )
      )
    ]),
    Effect.map(({ checks }) => checks)
  )

/** All that a check says, in one line. */
export const lineOf = ({ found, meaning = "", mend = "", tried }: Check): string =>
  `${tried}: ${found} | ${meaning} | ${mend}`

/** One check of that name came to that, and says all of this. */
export const assertSays = (
  checks: ReadonlyArray<Check>,
  check: string,
  outcome: Outcome,
  ...sentences: ReadonlyArray<string>
) => {
  assert.isAbove(sentences.length, 0)
  const lines = checks.filter((one) => one.check === check && one.outcome === outcome).map(lineOf)
  const all = checks.map((one) => `${one.outcome} ${one.check} ${lineOf(one)}`).join("\n")
  assert.isTrue(
    lines.some((line) => sentences.every((sentence) => line.includes(sentence))),
    `${check} ${outcome}: ${sentences.join(" … ")}\n\nin\n\n${all}`
  )
}

/** Nothing is wrong. */
export const assertFine = (checks: ReadonlyArray<Check>) => {
  assert.isAbove(checks.length, 5)
  assert.deepStrictEqual(checks.filter(({ outcome }) => outcome === "failed" || outcome === "warning").map(lineOf), [])
}
