/** Valid bytes, changed a little: what a careless or hostile sender would send. From one seed the same, always. */
import type { Random } from '../simulation/random.ts'

/** Bytes that mean something to a msgpack or JSON reader, and words that mean something to an object. */
const heads = [
  0x40,
  0x41,
  0x7f,
  0x80,
  0x81,
  0x8f,
  0x90,
  0x91,
  0x9f,
  0xa0,
  0xa9,
  0xbf,
  ...Array.from({ length: 0x40 }, (_, index) => 0xc0 + index),
]
const words = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'AggregateError',
  'then',
  '"',
  '\\u005f',
  '[',
  '{',
  ']',
  '}',
  '\ud83d',
  '1e999',
].map((word) => new TextEncoder().encode(word))
const runs = [
  [0xd4, 0x72, 0x40],
  [0xd4, 0x73, 0x00],
  [0xd4, 0x65, 0x00, 0x93],
  [0xd4, 0x78, 0x00, 0x92],
  [0xd4, 0x4d, 0x00],
  [0xd6, 0x70, 0, 0, 0, 1],
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xdf, 0, 0, 0, 9],
  [0xc7, 0x09, 0x74, 0x08],
  [0xd7, 0xff],
  [0xc6, 0, 0, 0, 3],
]

export function mutated(source: Uint8Array, random: Random): Uint8Array {
  const below = (count: number) => random.integer(0, count - 1)
  let bytes: Uint8Array = source.slice()
  for (let left = 1 + below(4); left > 0; left--) {
    const at = below(bytes.length + 1)
    switch (below(8)) {
      case 0:
        bytes[at] = below(256)
        break
      case 1:
        bytes[at] = heads[below(heads.length)]!
        break
      case 2:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8))
        break
      case 3:
        bytes = bytes.slice(0, at)
        break
      case 4:
        bytes = splice(bytes, at, 0, words[below(words.length)]!)
        break
      case 5:
        bytes = splice(bytes, at, below(4), Uint8Array.from(runs[below(runs.length)]!))
        break
      case 6:
        bytes = splice(bytes, at, below(12), bytes.slice(below(bytes.length + 1)).slice(0, below(40)))
        break
      default:
        bytes = splice(bytes, at, 1 + below(6), new Uint8Array(0))
    }
  }
  return bytes
}

function splice(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, at), ...insert, ...bytes.subarray(at + remove)])
}
