/**
 * What a task costs on a node beyond the node's standing bid, by the `bid` hook of its type: how it is asked, and answered
 * (msgpack). Losing any of it is harmless: a node that does not answer does not get the task this time.
 */
import type { Payload } from './entries.ts'

/** A task about which a node is asked. */
export type AskedTask = readonly [id: string, type: string, key: string | null, input: Payload]

/** The further delay in ms that the task would suffer there; null: the node does not take it. Then, why. */
export type Quote = readonly [id: string, extraMs: number | null, reason: string]

/** Tasks about which a node is asked at once, at most. */
export const askedTasksMax = 64
