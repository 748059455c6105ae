/**
 * Text from outside, fit for a log or a terminal: what would command a terminal, break the line or turn the text around is
 * escaped, as `\u{202e}`.
 */
export const escaped = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
