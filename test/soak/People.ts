import { Effect } from "effect"
import { createHash, randomBytes, randomInt } from "node:crypto"
import { Agent, type IncomingHttpHeaders, request } from "node:http"
import type { OktaStandIn } from "../support/OktaStandIn.ts"
import { Browser } from "../support/StandInBrowser.ts"
import type { Figures } from "./Figures.ts"

interface Asked {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly form?: Readonly<Record<string, string>>
  readonly json?: unknown
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** What a person's client holds. */
interface Session {
  readonly accessToken: string
  readonly refreshToken: string
  /** In milliseconds since 1970. */
  readonly expiresAt: number
}

/** A person with a client; does one thing at a time. */
interface Person {
  readonly login: string
  readonly browser: Browser
  /** What the server knows the person by, once it has said so. */
  subject?: string
  session?: Session
  busy: boolean
}

/** Where the load goes. */
export interface Places {
  readonly proxy: string
  readonly native: string
}

const redirectUri = "http://127.0.0.1/callback"
const token = (body: string): Session => {
  const { access_token: accessToken, expires_in, refresh_token: refreshToken } = JSON.parse(body)
  return { accessToken, refreshToken, expiresAt: Date.now() + expires_in * 1000 }
}

/** The request could be neither done nor refused: a server, or what it needs, was away. */
class Away extends Error {}

/** People and attackers. */
export class People {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })
  readonly #people: ReadonlyArray<Person>
  readonly #figures: Figures
  readonly #places: Places
  readonly #okta: OktaStandIn["Service"]
  #clientId = ""
  /** Tokens of Okta's, and when their key was new. */
  #native: ReadonlyArray<string> = []
  #nativeSince = 0

  constructor(okta: OktaStandIn["Service"], places: Places, figures: Figures) {
    this.#okta = okta
    this.#places = places
    this.#figures = figures
    this.#people = okta.people.map(({ login }) => ({ login, browser: new Browser(), busy: false }))
  }

  async register(): Promise<void> {
    const { body } = await this.#ask(this.#places.proxy, "/oauth/register", {
      json: { redirect_uris: [redirectUri], client_name: "Load", token_endpoint_auth_method: "none" }
    })
    this.#clientId = JSON.parse(body).client_id
  }

  /** Takes up tokens by whatever key Okta signs with now. */
  async renewNative(): Promise<void> {
    const tokens: Array<string> = []
    for (let i = 0; i < 20; i++) {
      tokens.push(await Effect.runPromise(this.#okta.mint({ jti: randomBytes(8).toString("hex") })))
    }
    this.#native = tokens
    this.#nativeSince = Date.now()
  }

  /** Does one thing that somebody might do. */
  async act(): Promise<void> {
    const chance = Math.random()
    try {
      if (chance < 0.2) return await this.#showBad()
      if (chance < 0.45) return await this.#showNative()
      const person = this.#people[randomInt(this.#people.length)]
      if (person === undefined || person.busy) return await this.#showBad()
      person.busy = true
      try {
        await this.#live(person, Math.random())
      } finally {
        person.busy = false
      }
    } catch (error) {
      if (!(error instanceof Away)) throw error
      this.#figures.count("put off while something was away")
      await new Promise((resume) => setTimeout(resume, 200))
    }
  }

  async #live(person: Person, chance: number): Promise<void> {
    if (person.session === undefined) return this.#signIn(person)
    if (person.session.expiresAt < Date.now() + 5000) return this.#refresh(person, person.session)
    if (chance < 0.01) return this.#refresh(person, person.session)
    if (chance < 0.015) return this.#revoke(person, person.session)
    return this.#call(person, person.session)
  }

  /** A connection that breaks is made again, as clients do; statuses that nothing explains are faults. */
  async #ask(place: string, path: string, asked: Asked = {}, tries = 5): Promise<Answer> {
    for (let left = tries; left > 0; left--) {
      const began = performance.now()
      const answer = await this.#send(place + path, asked).catch(() => undefined)
      if (answer !== undefined) {
        this.#figures.answered(performance.now() - began)
        return answer
      }
      this.#figures.count("connections that broke")
      await new Promise((resume) => setTimeout(resume, 100))
    }
    throw new Away(`${path} could not be reached`)
  }

  #send(url: string, { form, headers, json, method }: Asked): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const body = json === undefined ? form && new URLSearchParams(form).toString() : JSON.stringify(json)
      const type = json === undefined ? "application/x-www-form-urlencoded" : "application/json"
      const sent = request(url, {
        agent: this.#agent,
        method: method ?? (body === undefined ? "GET" : "POST"),
        headers: { ...body !== undefined && { "content-type": type }, ...headers },
        timeout: 20_000
      }, (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", reject).on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString("utf8")
          }))
      })
      sent.on("error", reject).on("timeout", () => sent.destroy(new Error("no answer within 20 seconds"))).end(body)
    })
  }

  /** The answer, of which 503 says that it is to be tried again. */
  #expect({ body, headers, status }: Answer, what: string, ...statuses: ReadonlyArray<number>): void {
    this.#figures.count(`${what}: ${status}`)
    if (statuses.includes(status)) return
    if (status === 503 && headers["retry-after"] !== undefined) throw new Away(what)
    this.#figures.fault("unexpected statuses", `${what}: ${status} ${body.slice(0, 300)}`)
    throw new Away(what)
  }

  async #call(person: Person, { accessToken, expiresAt }: Session): Promise<void> {
    const answer = await this.#ask(this.#places.proxy, "/mcp", { headers: { authorization: `Bearer ${accessToken}` } })
    if (answer.status === 401 && Date.now() < expiresAt) {
      this.#figures.fault("false sign-outs", `a good access token: ${answer.headers["www-authenticate"]}`)
      delete person.session
      return
    }
    this.#expect(answer, "call", 200, 401)
    if (answer.status !== 200) return
    const { subject } = JSON.parse(answer.body)
    person.subject ??= subject
    if (subject !== person.subject) this.#figures.fault("wrong verdicts", `${subject} in place of ${person.subject}`)
  }

  async #showNative(): Promise<void> {
    const token = this.#native[randomInt(this.#native.length)] ?? ""
    const answer = await this.#ask(this.#places.native, "/mcp", { headers: { authorization: `Bearer ${token}` } })
    // A key that nobody knew before is asked for once in 10 seconds.
    if (answer.status === 401 && Date.now() - this.#nativeSince < 12_000) {
      this.#figures.count("native call within 12 seconds of a new key: 401")
      return
    }
    if (answer.status === 401) this.#figures.fault("false sign-outs", "a good token of Okta's")
    this.#expect(answer, "native call", 200, 401)
  }

  /** Tokens that are no good, at either server. */
  async #showBad(): Promise<void> {
    const good = [
      ...this.#native,
      ...this.#people.flatMap(({ session }) => session === undefined ? [] : [session.accessToken])
    ]
    const token = good[randomInt(Math.max(1, good.length))] ?? "x.y.z"
    const at = randomInt(Math.max(1, token.length - 1))
    const [header = "", payload = "", signature = ""] = token.split(".")
    const other = good[randomInt(Math.max(1, good.length))] ?? ""
    const [one = "", two = ""] = this.#people.flatMap(({ session }) =>
      session === undefined ? [] : [session.refreshToken]
    )
    const bad = [
      token.slice(0, at) + (token.charAt(at) === "A" ? "B" : "A") + token.slice(at + 1),
      token.slice(0, at),
      `${header}.${payload}.${other.split(".")[2] ?? ""}A`,
      `${header}.${Buffer.from(JSON.stringify({ sub: "eve" })).toString("base64url")}.${signature}`,
      `${
        Buffer.from(JSON.stringify({ alg: "RS256", kid: randomBytes(8).toString("hex") })).toString("base64url")
      }.${payload}.${signature}`,
      `${Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url")}.${payload}.`,
      one,
      two
    ][randomInt(8)] ?? ""
    if (bad === "" || good.includes(bad)) return
    const place = Math.random() < 0.5 ? this.#places.proxy : this.#places.native
    const answer = await this.#ask(place, "/mcp", { headers: { authorization: `Bearer ${bad}` } })
    if (answer.status === 200) this.#figures.fault("wrong verdicts", `${bad} was accepted`)
    else this.#expect(answer, "bad token", 401)
  }

  async #signIn(person: Person): Promise<void> {
    const verifier = randomBytes(32).toString("base64url")
    const state = randomBytes(16).toString("base64url")
    const parameters = new URLSearchParams({
      response_type: "code",
      client_id: this.#clientId,
      redirect_uri: redirectUri,
      state,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
      resource: `${this.#places.proxy}/mcp`
    })
    const page = await this.#ask(this.#places.proxy, `/oauth/authorize?${parameters}`)
    this.#expect(page, "authorize", 200)
    const cookie = (page.headers["set-cookie"] ?? []).map((line) => line.split(";", 1)[0]).join("; ")
    const sealed = /name="request" value="([^"]+)"/.exec(page.body)?.[1] ?? ""
    const consented = await this.#ask(this.#places.proxy, "/oauth/consent", {
      form: { request: sealed, decision: "allow" },
      headers: { cookie }
    })
    this.#expect(consented, "consent", 302, 303)
    const back = await Effect.runPromise(
      this.#okta.authorize(consented.headers.location ?? "", { login: person.login, browser: person.browser })
    )
    // One that is lost on its way cannot be sent again: Okta's code is used up.
    const answer = await this.#ask(this.#places.proxy, `/oauth/callback${back.search}`, { headers: { cookie } }, 1)
    this.#expect(answer, "callback", 302, 303)
    const { searchParams } = new URL(answer.headers.location ?? "")
    if (searchParams.get("error") === "temporarily_unavailable") throw new Away("callback")
    const code = searchParams.get("code")
    if (code === null || searchParams.get("state") !== state) {
      return this.#figures.fault("unexpected statuses", `callback: ${searchParams}`)
    }
    const form = {
      grant_type: "authorization_code",
      client_id: this.#clientId,
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier
    }
    const redeemed = await this.#ask(this.#places.proxy, "/oauth/token", { form }, 1)
    this.#expect(redeemed, "redemption", 200)
    if (Math.random() < 0.05) {
      // A code that is used twice ends what came of it.
      this.#expect(await this.#ask(this.#places.proxy, "/oauth/token", { form }), "second redemption", 400)
      return
    }
    person.session = token(redeemed.body)
  }

  /** Sometimes twice at once, as some clients do. */
  async #refresh(person: Person, { refreshToken }: Session): Promise<void> {
    const form = { grant_type: "refresh_token", client_id: this.#clientId, refresh_token: refreshToken }
    const times = Math.random() < 0.1 ? 2 : 1
    const answers = await Promise.all(
      Array.from({ length: times }, () => this.#ask(this.#places.proxy, "/oauth/token", { form }))
    )
    const [good] = answers.filter(({ status }) => status === 200)
    if (good !== undefined) person.session = token(good.body)
    for (const answer of answers) {
      if (answer.status === 400 || answer.status === 401) {
        this.#figures.fault("false sign-outs", `a good refresh token: ${answer.body}`)
        delete person.session
        return
      }
      this.#expect(answer, "refresh", 200)
    }
  }

  async #revoke(person: Person, { refreshToken }: Session): Promise<void> {
    const form = { client_id: this.#clientId, token: refreshToken }
    this.#expect(await this.#ask(this.#places.proxy, "/oauth/revoke", { form }), "revocation", 200)
    delete person.session
    const refreshment = { grant_type: "refresh_token", client_id: this.#clientId, refresh_token: refreshToken }
    const answer = await this.#ask(this.#places.proxy, "/oauth/token", { form: refreshment })
    if (answer.status === 200) this.#figures.fault("wrong verdicts", "a revoked refresh token was accepted")
    else this.#expect(answer, "refresh after revocation", 400)
  }
}
