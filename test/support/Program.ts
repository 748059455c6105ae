import { Effect, FileSystem, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { fileURLToPath } from "node:url"

/** The folder of the project. */
export const project = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "")

/** A program and its arguments; the project's own tools and its Node come first. */
export const command = (
  [program, ...args]: readonly [string, ...Array<string>],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {}
) =>
  ChildProcess.make(program, args, {
    cwd: options.cwd ?? project,
    env: {
      PATH: `${project}/node_modules/.bin:${process.env["PATH"]}`,
      NO_COLOR: "1",
      FORCE_COLOR: undefined,
      ...options.env
    },
    extendEnv: true,
    stdin: "ignore"
  })

/** Runs a program to its end: its exit status, and what it printed on both outputs. */
export const run = (words: readonly [string, ...Array<string>], options?: Parameters<typeof command>[1]) =>
  Effect.scoped(
    Effect.gen(function*() {
      const child = yield* command(words, options)
      const output = yield* Stream.mkString(Stream.decodeText(child.all))
      return { status: yield* child.exitCode, output }
    })
  )

/** A new folder, removed with the scope. Its files are given by path. */
export const folder = (files: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* fs.makeTempDirectoryScoped({ prefix: "effect-okta-" })
    for (const [name, text] of Object.entries(files)) yield* fs.writeFileString(`${path}/${name}`, text)
    return path
  })
