import { escaped } from "../config/EscapedText.ts"

/** Text of Okta's within a message: in quotes, escaped, and cut to so many characters. */
export const quoted = (text: string, longest = 200): string => escaped(JSON.stringify(cut(text, longest)))

/** The same without quotes. */
export const excerpt = (text: string, longest = 200): string => escaped(cut(text, longest))

const cut = (text: string, longest: number) => text.length > longest ? `${text.slice(0, longest)}…` : text
