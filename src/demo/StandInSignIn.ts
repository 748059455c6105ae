import type { IncomingMessage, ServerResponse } from "node:http"
import type { Interaction, Provider } from "oidc-provider"
import { defaultPassword, oneTimeCode, type Person, uidOf } from "./StandInDirectory.ts"
import { errorPage, secondFactorPage, signInPage } from "./StandInPages.ts"

/** Ways of signing in for which a password is enough. */
const isOneFactor = (acr: string | undefined) => acr === undefined || acr.startsWith("urn:okta:loa:1fa:")

/**
 * Okta's sign-in page: shows a form, and takes the person back to the client when the password is right, and where asked for
 * the second factor too.
 */
export const makeSignIn = (
  provider: Provider,
  people: ReadonlyArray<Person>,
  { filledIn, now }: { readonly filledIn: boolean; readonly now: () => number }
) => {
  const [first] = people
  /** Sign-ins whose password was right, and whose second factor is to come. */
  const halfway = new Map<string, string>()
  /** Everything that was asked is granted: applications of the own company need no consent in Okta. */
  const grantTo = async (accountId: string, { params }: Interaction): Promise<string> => {
    const grant = new provider.Grant({ accountId, clientId: params["client_id"] ?? "" })
    if (params["scope"] !== undefined) grant.addOIDCScope(params["scope"])
    return grant.save()
  }

  const show = (response: ServerResponse, status: number, { headers, html }: ReturnType<typeof signInPage>) => {
    response.writeHead(status, headers).end(html)
  }
  const told = filledIn ? people : []

  return async (request: IncomingMessage, body: string, response: ServerResponse): Promise<void> => {
    const interaction = await provider.interactionDetails(request, response).catch(() => undefined)
    if (interaction === undefined) return show(response, 400, errorPage("access_denied", "This sign-in has expired."))

    const { params, prompt, session } = interaction
    if (prompt.name === "consent" && session !== undefined) {
      const grantId = await grantTo(session.accountId, interaction)
      return provider.interactionFinished(request, response, { consent: { grantId } })
    }

    const clientId = params["client_id"] ?? ""
    if (request.method !== "POST") {
      const hint = params["login_hint"]
      return show(
        response,
        200,
        filledIn && hint === undefined && first !== undefined
          ? signInPage({ clientId, login: first.login, password: first.password ?? defaultPassword, people: told })
          : signInPage({ clientId, login: hint ?? "", people: told })
      )
    }

    const form = new URLSearchParams(body)
    const acr = params["acr_values"]?.split(" ")[0]
    const finish = async (accountId: string, amr: ReadonlyArray<string>) =>
      provider.interactionFinished(request, response, {
        login: { accountId, ts: Math.floor(now() / 1000), amr, acr },
        consent: { grantId: await grantTo(accountId, interaction) }
      })

    const known = form.has("code") ? halfway.get(interaction.uid) : undefined
    if (known !== undefined) {
      if (form.get("code") !== oneTimeCode) {
        return show(response, 401, secondFactorPage({ clientId, problem: "The code is not right" }))
      }
      halfway.delete(interaction.uid)
      return finish(known, ["pwd", "otp", "mfa"])
    }
    const login = form.get("login") ?? ""
    const person = people.find((person) => person.login === login)
    if (person === undefined || form.get("password") !== (person.password ?? defaultPassword)) {
      return show(response, 401, signInPage({ clientId, login, problem: "Unable to sign in", people: told }))
    }
    const accountId = uidOf(person)
    if (isOneFactor(acr)) return finish(accountId, ["pwd"])
    halfway.set(interaction.uid, accountId)
    return show(response, 200, secondFactorPage({ clientId, code: filledIn ? oneTimeCode : undefined }))
  }
}
