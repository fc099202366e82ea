/** Text of bytes below 0x80, which is nearly all text of an envelope and every common key: the quickest ways to make it. */

const { fromCharCode } = String
const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice: (this: Uint8Array, from: number, to: number) => string
}

/** True if every byte of `bytes` from `from` up to `to` is below 0x80. */
export function isAscii(bytes: Uint8Array, from: number, to: number): boolean {
  let bits = 0
  for (let index = from; index < to; index++) bits |= bytes[index]!
  return bits < 0x80
}

/** The text of bytes that are ASCII. Short ones are built from codes, which beats a call into the engine by half. */
export function asciiText(bytes: Uint8Array, at: number, to: number): string {
  if (to - at > 16) return latin1Slice.call(bytes, at, to)
  if (at + 16 > bytes.length) return lastText(bytes, at, to)
  // biome-ignore format: sixteen of a kind
  const text = fromCharCode(
    bytes[at]!, bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!, bytes[at + 4]!, bytes[at + 5]!, bytes[at + 6]!, bytes[at + 7]!,
    bytes[at + 8]!, bytes[at + 9]!, bytes[at + 10]!, bytes[at + 11]!, bytes[at + 12]!, bytes[at + 13]!, bytes[at + 14]!, bytes[at + 15]!,
  )
  return text.slice(0, to - at)
}

/** The same where fewer than sixteen bytes are left: reading behind the end would be slow for ever after. */
function lastText(bytes: Uint8Array, from: number, to: number): string {
  let text = ''
  for (let index = from; index < to; index++) text += fromCharCode(bytes[index]!)
  return text
}
