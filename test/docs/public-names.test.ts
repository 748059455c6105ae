/**
 * Every public name has a doc comment, and every one that exists when the program runs has an example in it, which
 * `snippets.test.ts` compiles and runs.
 *
 * Two kinds need no example of their own: types, which hold nothing, and the members of a union that has one, since that
 * shows how they are told apart.
 */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { project } from "../support/Program.ts"

interface Name {
  readonly name: string
  readonly file: string
  readonly isType: boolean
}

const read = (file: string): string => readFileSync(`${project}/src/${file}`, "utf8")

const named = (list: string): ReadonlyArray<{ readonly name: string; readonly isType: boolean }> =>
  list.split(",").map((item) => item.trim()).filter(Boolean).map((item) => ({
    name: item.replace(/^type /, ""),
    isType: item.startsWith("type ")
  }))

/** The file that declares a name which another one hands on. */
const declaring = (file: string, name: string): string => {
  const source = read(file)
  if (new RegExp(`^export (?:class|const|function|interface|type) ${name}\\b`, "m").test(source)) return file
  for (
    const [, list = "", from = ""] of source.matchAll(/^(?:import|export) (?:type )?\{([^}]*)\} from "(\.[^"]+)"/gm)
  ) {
    if (named(list).some((item) => item.name === name)) return declaring(join(dirname(file), from), name)
  }
  throw new Error(`${file} has no ${name}`)
}

/** All that a file exports, be it its own or another's. */
const exportsOf = (file: string): ReadonlyArray<Name> => {
  const source = read(file)
  const handedOn = [...source.matchAll(/^export \{([^}]*)\} from "(\.[^"]+)"/gm)].flatMap(([, list = "", from = ""]) =>
    named(list).map(({ isType, name }) => ({ name, isType, file: declaring(join(dirname(file), from), name) }))
  )
  const own = [...source.matchAll(/^export (class|const|function|interface|type) (\w+)/gm)].map((
    [, kind, name = ""]
  ) => ({
    name,
    file,
    isType: kind === "interface" || kind === "type"
  }))
  const whole = [...source.matchAll(/^export \* as \w+ from "(\.[^"]+)"/gm)].flatMap(([, from = ""]) =>
    exportsOf(join(dirname(file), from))
  )
  return [...handedOn, ...own, ...whole]
}

const names = ["index.ts", "testing/index.ts"].flatMap(exportsOf)

/** The doc comments of a name; one that is both a value and a type may have two. */
const comments = ({ file, name }: Name): ReadonlyArray<string> =>
  [
    ...read(file).matchAll(
      new RegExp(
        `(?:/\\*\\*((?:(?!\\*/)[^])*)\\*/\\s*)?^export (?:class|const|function|interface|type) ${name}\\b`,
        "gm"
      )
    )
  ].map(([, comment = ""]) => comment)

const hasExample = (name: Name): boolean => comments(name).some((comment) => /@example\s+\* ```ts/.test(comment))

/** The members of the unions that have an example, whether of schemas or of types. */
const members = new Set(
  names.filter(hasExample).flatMap(({ file, name }) => {
    const [, schemas = "", types = ""] =
      new RegExp(`^export (?:const ${name} = Schema\\.Union\\(\\[([^\\]]*)\\]|type ${name} = ([\\w\\s|]+)$)`, "m").exec(
        read(file)
      ) ?? []
    return [...`${schemas} ${types}`.matchAll(/\b[A-Z]\w+\b/g)].map(([member]) => member)
  })
)

describe("the public names", () => {
  it("are found", () => {
    assert.isAbove(names.length, 100)
    for (const name of ["TokenVerifier", "layerConfig", "mcpGuard", "DiscoveryFailed", "OktaTest", "layerRedis"]) {
      assert.include(names.map(({ name }) => name), name)
    }
    for (const member of ["TokenExpired", "KeysUnavailable", "SignedIn", "AccessDenied", "User"]) {
      assert.isTrue(members.has(member), member)
    }
  })

  it("have a doc comment each", () => {
    const without = names.filter((name) => comments(name).every((comment) => comment.trim() === ""))
    assert.deepStrictEqual(without.map(({ file, name }) => `${file}: ${name}`), [])
  })

  it("have an example, unless they are types or shown with the union that they belong to", () => {
    const without = names.filter((name) => !name.isType && !members.has(name.name) && !hasExample(name))
    assert.deepStrictEqual([...new Set(without.map(({ file, name }) => `${file}: ${name}`))], [])
  })
})
