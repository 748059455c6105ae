import { Effect, type Layer } from "effect"
import { HttpRouter } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import { proxySettings } from "../ProxySettings.ts"
import * as Page from "./Page.ts"

const closed = Page.problem({
  status: 403,
  title: "Nobody signs in here",
  words:
    "Your organization decides in Okta which applications may use this server, and they are let in without you. Ask those " +
    "who manage Okta to connect the application that sent you here.",
  code: "access_denied",
  detail: "This server gives tokens for ID-JAGs only (Cross App Access)."
})

/** In place of the sign-in where all come with Okta's word: a page that says so, whoever asks for what. */
export const routes: Layer.Layer<never, InvalidConfiguration, HttpRouter.HttpRouter | OktaConfig> = HttpRouter.use(
  (router) =>
    Effect.gen(function*() {
      const settings = yield* proxySettings
      const answer = () => Effect.succeed(closed)
      for (const path of ["/oauth/authorize", "/oauth/consent", "/oauth/callback", "/oauth/connections"]) {
        yield* Page.serve(router, settings, path, { GET: answer, HEAD: answer, POST: answer })
      }
    })
)
