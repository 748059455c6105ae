/** What comes in, and what happens. */
export type Line = readonly [what: string, then: string]

/** Every attack and fault that is tested here, by the number with which titles of its tests begin; some numbers are nobody's. */
export const contents: Readonly<Record<string, Readonly<Record<string, Line>>>> = {
  "The form of a token": {
    "#1": ["a token with the algorithm `none` and no signature", "401"],
    "#2": ["an algorithm that is `none` in other letters, with a real signature", "401"],
    "#3": ["a token signed with Okta's public key as if that were a secret", "401"],
    "#4": ["an algorithm that is missing, a number or a list", "401"],
    "#5": ["a signature by one algorithm that is said to be by another", "401"],
    "#6": ["a good signature by an algorithm that the settings do not allow", "401"],
    "#7": ["an elliptic-curve signature of zeros", "401"],
    "#8": ["a token that brings along the key it is signed with", "401"],
    "#9": ["a token that names an address for its key (`jku`)", "401, and nobody is asked"],
    "#10": ["a token that brings or names a certificate (`x5u`, `x5c`)", "401, and nobody is asked"],
    "#11": ["a key id that is a path, SQL, a forged log line or 10 kB long", "401; shown in the log escaped and cut"],
    "#13": ["a token without a key id, though there is only one key", "401"],
    "#14": ["two keys of Okta's with the same id", "neither counts: 401; 503 where there is no other"],
    "#15": ["a header that demands an extension (`crit`)", "401"],
    "#17": ["an ID token with the API's audience", "401"],
    "#18": ["a token of another kind by its `typ`", "401"],
    "#19": ["a refresh token of this server's as a bearer token", "401"],
    "#20": [
      "a state, cookie, code or form shown for something that it is not",
      "refused; each purpose has keys of its own"
    ],
    "#21": ["an encrypted or compressed token", "401; nothing is decrypted or unpacked"],
    "#22": ["a signature in JSON, or a token within a token", "400 or 401"],
    "#24": ["a good token with any one bit or character changed, added or taken away", "401 for all of them"]
  },
  "Size, and what parsers make of it": {
    "#25": ["a header of 17 kB", "431"],
    "#26": ["a token longer than `maxTokenLength`", "401 before anything is decoded"],
    "#27": ["a token of 1 MB, or of a million dots", "refused without being looked at"],
    "#28": ["JSON nested 100,000 deep", "401"],
    "#29": ["a member that is there twice", "401"],
    "#32": ["a header or payload that is no JSON object", "401"],
    "#33": ["`__proto__` and `constructor` among the claims", "they mean nothing"],
    "#34": ["letters that only look like those of the audience or issuer", "401; nothing is normalized"]
  },
  "Claims": {
    "#35": ["no `exp`", "401"],
    "#38": ["an `exp` that is no whole number", "401"],
    "#39": ["an `exp` of 0 or -1", "401"],
    "#40": ["a time at the very limit of the tolerance", "refused from the limit on, not a millisecond before"],
    "#42": ["a token from an hour in the future", "401"],
    "#43": ["no `iat`, or one that is no number", "401"],
    "#44": ["an audience that is missing, an object or a list of lists", "401"],
    "#46": ["an audience that differs by a letter's case, a slash or its end", "401"],
    "#47": ["a token for another server of the same Okta", "401"],
    "#48": ["an issuer that is missing or spelled otherwise", "401"],
    "#49": ["a token of Okta's org server at a custom server's resource, and the other way round", "401"],
    "#50": ["no `sub`, or an empty one", "401"],
    "#52": ["a scope whose name begins like the one that is needed", "403"],
    "#53": ["one of two scopes that are needed", "403 with both"],
    "#54": ["scopes with anything but single spaces between them", "split at spaces only; others are not known: 403"],
    "#56": ["a remembered token that ends", "401 from its end on"],
    "#57": ["two tokens of the same person with other rights", "each is taken for itself"],
    "#58": ["a client that is not on the list", "401"]
  },
  "Requests to a guarded path": {
    "#59": ["no credentials", "401 with a challenge and no error"],
    "#60": ["`bearer` in other letters", "accepted"],
    "#61": ["two tokens, none, or two `Authorization` lines", "400, or 401 where it is no bearer token at all"],
    "#63": ["a token in the header and in the query besides", "400"],
    "#64": ["a token in the query, body or a cookie alone", "401; it is not looked at"],
    "#65": ["a user name and password", "401; never in the log"],
    "#66": ["no `Host`, or several", "400, at every endpoint"],
    "#67": ["a `Host` of the attacker's", "every URL is the configured one"],
    "#68": ["`X-Forwarded-*` of the attacker's", "every URL is the configured one"],
    "#69": ["quotation marks and line breaks in what is refused", "the same constant text"],
    "#70": ["a request within another one's body", "400; it never reaches a handler"],
    "#71": ["a page elsewhere that calls a server on this computer", "403"],
    "#72": ["another spelling of a guarded path", "decided as the router does"],
    "#73": [
      "a method that no route takes",
      "401 without a token, no handler with one; 405 where the methods are known"
    ],
    "#74": ["a thousand requests of a hundred people at once", "each handler sees its own"]
  },
  "Okta's keys and metadata": {
    "#75": ["2,000 unknown key ids", "401 each; Okta is asked once in 10 seconds"],
    "#76": ["unknown key ids all the time, and a new key", "the new key counts within 10 seconds"],
    "#77": ["a key that Okta withdraws", "refused within 5 minutes, remembered tokens too"],
    "#80": ["a secret or private key among Okta's", "not used"],
    "#82": ["metadata of another issuer", "503; with `failFast` no start"],
    "#83": ["a key address elsewhere, or without TLS", "503; it is not asked"],
    "#84": ["a redirect in place of keys or metadata", "not followed"],
    "#86": ["keys or metadata of 200 MB", "given up at 256 and 64 KiB"],
    "#87": ["10,000 requests before there are any keys", "one fetch, and no error"],
    "#88": ["what Okta says about keeping its keys", "kept to, between a minute and an hour"],
    "#90": ["records exchanged or changed in the store", "they count as absent; nobody becomes anybody else"]
  },
  "`/oauth/authorize`": {
    "#91": ["an unknown client", "a page, and no redirect"],
    "#92": ["a redirect URI that is not registered", "a page, and no redirect"],
    "#94": ["a loopback redirect URI with another port, host or path", "only the port may differ"],
    "#96": ["a redirect URI that runs or reads something", "refused, and cannot be registered"],
    "#98": ["a parameter twice", "refused"],
    "#99": ["a response type other than `code`", "`unsupported_response_type`"],
    "#100": ["no code challenge", "`invalid_request`"],
    "#101": ["a code challenge by anything but S256", "`invalid_request`"],
    "#104": ["a state of 100 kB, or of control characters", "refused from 2 KiB on; else given back as it was"],
    "#105": ["another server's resource", "`invalid_target`"],
    "#106": ["an unknown scope", "`invalid_scope`"],
    "#108": ["`prompt=none`", "`consent_required`; nobody is let through unseen"],
    "#109": ["a body of 10 MB", "413; most of it is not read"],
    "#110": ["a flood of sign-ins that nobody finishes", "429 with `Retry-After` from `maxPendingSignIns` on"]
  },
  "Consent": {
    "#111": ["a link to Okta that somebody else has agreed to", "403; no code, and Okta is not asked"],
    "#112": ["a consent form of the attacker's, sent by the victim's browser", "403"],
    "#113": ["the same client with another redirect URI", "asked again"],
    "#114": ["a cookie by another name", "does not count"],
    "#115": ["a cookie that was changed", "counts as none"],
    "#116": ["a page around ours", "not shown in one, and no script runs"],
    "#117": ["markup in anything that a client says of itself", "shown as text"],
    "#118": ["a client's picture", "not shown"],
    "#120": ["a client known by a document that leads to this computer only", "a warning, and the document's host"],
    "#121": ["no", "`access_denied`; not remembered"],
    "#123": ["two tabs", "each answers its own request"],
    "#124": ["another site that opens the page for the person", "asked again, remembered or not"]
  },
  "`/oauth/callback`": {
    "#125": ["a state that is missing, unknown or too old", "400; Okta is not asked"],
    "#126": ["a state twice, or fifty times at once", "good once"],
    "#128": ["the attacker's code in the victim's browser", "403"],
    "#129": ["an error of Okta's", "goes on to the client, in words of ours"],
    "#130": ["an answer of another issuer", "400"],
    "#132": ["markup in Okta's answer", "not repeated"],
    "#133": ["an ID token for somebody else, or another sign-in", "`server_error`; no session"],
    "#135": ["Okta in trouble", "`temporarily_unavailable`"],
    "#136": ["another method", "405"]
  },
  "`/oauth/token` and `/oauth/revoke`": {
    "#137": ["a code twice", "`invalid_grant`, and the grant ends, here and at Okta"],
    "#138": ["a code fifty times at once, at one server or two", "good once"],
    "#139": ["a wrong code verifier", "`invalid_grant`; the code is used up"],
    "#142": ["a code of another client's", "`invalid_grant`; nothing happens to the grant"],
    "#143": ["another redirect URI than before", "`invalid_grant`"],
    "#144": ["a code older than a minute", "`invalid_grant`"],
    "#145": ["two kinds of client authentication, or a wrong secret", "`invalid_request`; 401 `invalid_client`"],
    "#146": ["a secret that is nearly right", "compared in constant time"],
    "#147": ["a parameter twice", "`invalid_request`"],
    "#149": ["GET", "405"],
    "#150": ["a refresh token whose successor has been used", "`invalid_grant`, and the grant ends"],
    "#151": ["an older refresh token", "`invalid_grant`, and the grant ends"],
    "#152": ["a refresh token fifty times at once", "one successor for all"],
    "#153": ["more scopes than were granted", "`invalid_scope`"],
    "#154": ["another client's refresh token", "`invalid_grant`; nothing happens to the grant"],
    "#155": ["Okta says that the person may no longer enter", "`invalid_grant`, and the grant ends"],
    "#156": ["Okta is away during a refresh", "503 with `Retry-After`; the refresh token stays good"],
    "#157": ["another resource than was granted", "`invalid_target`; code or refresh token stay good"],
    "#158": ["a password, or an unknown grant", "`unsupported_grant_type`"],
    "#159": ["an unknown or another client's token to be revoked", "200, and nothing happens"],
    "#160": ["any answer with or about tokens", "kept by no cache"],
    "#163": ["what a client gets", "tokens of this server's, never Okta's"]
  },
  "Registration and metadata documents": {
    "#164": ["metadata of 10 MB, deep, or no object", "413 or `invalid_client_metadata`"],
    "#165": ["no redirect URIs, or 10,000", "`invalid_redirect_uri`"],
    "#166": ["a redirect URI without TLS, or with a wildcard or fragment", "`invalid_redirect_uri`"],
    "#167": ["an unknown way to authenticate, or a private key", "`invalid_client_metadata`"],
    "#168": ["a flood of registrations", "429; nothing is stored, and each ends after its time"],
    "#169": ["addresses in what a client registers", "nobody connects to them"],
    "#170": ["a client's secret", "told once, with its end, kept by no cache"],
    "#171": ["a software statement", "nothing in it counts"],
    "#172": ["a document's URL without TLS or path, or with a user, fragment or dots", "nobody; nothing is fetched"],
    "#173": ["a document's host inside the network", "refused before a connection is made"],
    "#175": ["a host that is answered otherwise the second time", "the address that was checked is connected to"],
    "#176": ["a redirect in place of a document", "not followed"],
    "#178": ["a document that comes a byte at a time", "given up after 10 seconds"],
    "#181": ["a document that is not in order, or changes meanwhile", "asked for again; checked again"],
    "#182": ["keys at an address inside, or 100,000 documents", "refused; a thousand are kept"],
    "#183": ["a client's signed assertion, again at another replica", "`invalid_client`"],
    "#184": ["thousands of document URLs", "few at a time, each once"],
    "#185": ["a proxy in the environment", "not used for documents"]
  },
  "Metadata": {
    "#187": ["this server's names for itself", "equal, byte for byte"],
    "#188": ["`code_challenge_methods_supported`", "S256 alone"],
    "#189": ["what the metadata promises", "is there, and nothing else"],
    "#191": ["pages elsewhere that read answers", "only what is for clients, and without cookies"]
  },
  "Secrets": {
    "#192": [
      "every token, code, verifier, secret and cookie",
      "in no log at any level, span, metric, audit event or error"
    ],
    "#193": ["settings that are printed, and errors that end the process", "secrets are redacted"],
    "#194": ["any failure", "no stack and none of Okta's words in the answer"],
    "#195": ["somebody reads the store", "hashes and sealed texts, and no key"],
    "#196": ["a short or missing key or secret", "no start; made up on loopback, with a warning"]
  },
  "Faults": {
    "F1": ["Okta is down at the start", "the server starts, answers 503 to tokens, and heals itself"],
    "F2": ["Okta is down, the keys are fresh", "every known key counts"],
    "F3": ["Okta is down for longer", "the last good keys count for 24 hours, with a warning each minute; then 503"],
    "F4": ["Okta accepts and never answers", "503 within 3.1 seconds; nobody waits who need not"],
    "F5": ["an answer that trickles", "the same"],
    "F6": ["500, 502, 503, broken connections", "three tries in 5 seconds, then a pause of 1 to 30"],
    "F7": ["429", "not asked before the time that Okta names"],
    "F8": ["HTML, broken JSON, no HTTP at all", "counts as no answer; the last good keys stay"],
    "F9": ["an empty key set", "counts as no answer; the last good keys stay"],
    "F10": ["an answer of 200 MB, compressed or not", "given up; the memory hardly grows"],
    "F11": ["a redirect", "counts as no answer"],
    "F13": ["a certificate that is expired, self-signed or another host's", "counts as no answer"],
    "F14": ["a new key", "counts for the first token that is signed with it"],
    "F15": ["a key that is withdrawn", "refused from the next fetch on; at once by `reload`"],
    "F16": ["clocks apart", "5 seconds are fine, a minute by setting; an hour is named in the log"],
    "F17": ["the clock jumps", "keys are no older for it"],
    "F18": ["the store is down, at the start or later", "503 where it is needed; native mode and access tokens go on"],
    "F19": ["the store is slow, or its answer is lost", "half a second; what may have been used up counts as used up"],
    "F20": ["the store is full", "nobody new; everybody else goes on"],
    "F21": ["the process is killed between Okta's answer and ours", "the code stays used; nothing else is good"],
    "F22": [
      "the process is killed between a refresh and its answer",
      "the same refresh token gives the same successor"
    ],
    "F23": ["two replicas", "any step on either"],
    "F24": ["the process stalls for 2 seconds", "nothing fails afterwards"],
    "F25": ["the client goes away", "nothing is left half done"],
    "F26": ["DNS fails or flaps", "as when Okta is away, or not at all"],
    "F27": ["10,000 requests at the moment that keys are due", "one fetch; nobody waits"],
    "F29": ["a damaged or foreign record in the store", "counts as absent, with an alarm"],
    "F30": ["Okta's client secret is replaced", "nobody is signed out"]
  }
}

/** Faults that have no meaning in a state or with a store, and why. */
export const apart: Readonly<Record<string, string>> = {
  "F1, F2, F3": "one fault, Okta away, in one state each: cold, warm, stale.",
  "F18, F19": "a store in memory is there, and answers, for as long as its process does.",
  "F21, F22": "a store in memory ends with its process; the one that is tested is kept outside of the servers.",
  "F13, F24, F27":
    "with the verifier and the guard alone, over real TLS, in real time and by real HTTP; no grant has a part in them."
}
