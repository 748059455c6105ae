const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

const page = (title: string, body: string): string =>
  `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 22rem; margin: 4rem auto; padding: 0 1rem }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit }
input, button { padding: .5rem; margin-bottom: 1rem }
.problem { color: #b00020 }
</style>
</head>
<body>
<h1>${title}</h1>
${body}
</body>
</html>
`

/** The page a person signs in on. */
export const signInPage = (clientId: string, login: string, problem: string | undefined, password = ""): string =>
  page(
    "Sign in",
    `<p>To continue to <code>${escape(clientId)}</code></p>
${problem === undefined ? "" : `<p class="problem">${escape(problem)}</p>`}
<form method="post">
<label for="login">Username</label>
<input id="login" name="login" autocomplete="username" required value="${escape(login)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required value="${
      escape(password)
    }">
<button>Sign in</button>
</form>`
  )

/** What is shown when the client cannot be told, because its redirect address is not to be trusted. */
export const errorPage = (error: string, description: string | undefined): string =>
  page("400 Bad Request", `<p>${escape(error)}</p>\n<p>${escape(description ?? "")}</p>`)
