import type { IncomingMessage, ServerResponse } from "node:http"
import type { Interaction, Provider } from "oidc-provider"
import { defaultPassword, type Person, uidOf } from "./StandInDirectory.ts"
import { errorPage, signInPage } from "./StandInPages.ts"

/** Okta's sign-in page: shows a form, and takes the person back to the client when the password is right. */
export const makeSignIn = (
  provider: Provider,
  people: ReadonlyArray<Person>,
  { filledIn, now }: { readonly filledIn: boolean; readonly now: () => number }
) => {
  const [first] = people
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
    const login = form.get("login") ?? ""
    const person = people.find((person) => person.login === login)
    if (person === undefined || form.get("password") !== (person.password ?? defaultPassword)) {
      return show(response, 401, signInPage({ clientId, login, problem: "Unable to sign in", people: told }))
    }
    const accountId = uidOf(person)
    return provider.interactionFinished(request, response, {
      login: {
        accountId,
        ts: Math.floor(now() / 1000),
        amr: ["pwd"],
        acr: params["acr_values"]?.split(" ")[0]
      },
      consent: { grantId: await grantTo(accountId, interaction) }
    })
  }
}
