/** What the leadership machine is told, what it asks for, and what it keeps. */
import type { LeadershipSettings } from './settings.ts'

export type LeadershipEvent =
  /** At least every 100 ms. */
  | { readonly type: 'tick'; readonly nowMs: number; readonly connected: boolean }
  /** The lease as watched or read. `holder` undefined: released, or there is none; revision 0: there never was one. */
  | {
      readonly type: 'lease'
      readonly nowMs: number
      readonly revision: number
      readonly holder: string | undefined
      readonly term: number
    }
  | { readonly type: 'put.stored'; readonly nowMs: number; readonly put: number; readonly revision: number }
  /** Somebody else wrote first. */
  | { readonly type: 'put.refused'; readonly nowMs: number; readonly put: number }
  /** No answer: it may be stored or not. */
  | { readonly type: 'put.unknown'; readonly nowMs: number; readonly put: number }
  | { readonly type: 'stop'; readonly nowMs: number; readonly release: boolean }

export type LeadershipEffect =
  /** Write the lease if its revision is still `expected`; `holder` undefined releases it. Answered by a `put.…` event. */
  | {
      readonly kind: 'put'
      readonly put: number
      readonly expected: number
      readonly holder: string | undefined
      readonly term: number
    }
  /** Read the lease; answered by `lease`. */
  | { readonly kind: 'read' }
  | { readonly kind: 'lead'; readonly term: number }
  | { readonly kind: 'step-down'; readonly reason: string }
  | { readonly kind: 'stopped' }

export interface LeadershipInput {
  readonly holder: string
  readonly ask: (effect: LeadershipEffect) => void
  /** A number from 0 to 1, each time anew. */
  readonly random: () => number
  readonly settings?: Partial<LeadershipSettings>
}

export interface PendingPut {
  readonly put: number
  readonly sentAtMs: number
  readonly term: number
  readonly holder: string | undefined
  /** Its answer did not come. */
  readonly unknown: boolean
}

export interface LeadershipContext {
  readonly holder: string
  readonly ask: (effect: LeadershipEffect) => void
  readonly random: () => number
  readonly settings: LeadershipSettings
  /** The lease as last seen; undefined until it was seen once. */
  readonly seen: { readonly revision: number; readonly holder: string | undefined; readonly term: number } | undefined
  /** Since when nothing has changed, as far as this process could know. */
  readonly quietSinceMs: number
  readonly jitterMs: number
  readonly pending: PendingPut | undefined
  readonly puts: number
  /** The term it leads in, when leading. */
  readonly term: number
  /** When the last stored renewal was *sent*: others count from its arrival, which is later. */
  readonly renewedAtMs: number
  readonly unsureSinceMs: number
  readonly tickAtMs: number | undefined
  readonly connected: boolean
  readonly release: boolean
}
