/**
 * The supervisor: hears heartbeats, suspects, probes, and asks for the fence of what is dead. It refuses to know how a fence
 * is written, who leads (the leadership actor says so), and what becomes of a dead node's tasks (the fold decides that).
 *
 * Two regions side by side:
 * - `role`: `standby` → `leading` → `standby`. A standby watches just as well, so that promotion needs no warm-up, but it
 *   only reports statuses. Leading, it probes, fences, and tells strangers that they are fenced.
 * - `sight`: `clear`, `dim`, `blind`. Dim: too many are silent at once, nobody beats, or the supervisor itself lagged;
 *   fencing is held, for a bounded time (`verdict.ts`). Blind: its own connection is gone; nothing is judged, and on its
 *   return every node gets a grace before silence counts again.
 *
 * Time comes with the events, on one monotonic clock. All knowledge is in `Watch`, which is changed in place: with hundreds
 * of heartbeats a second, copying it would be the whole cost.
 */
import { enqueueActions, setup } from 'xstate'
import { defaultSupervision, type SupervisionSettings } from './settings.ts'
import { type Hold, type MassSilence, massSilence } from './sight.ts'
import { judge, type Verdict } from './verdict.ts'
import { type HealthStatus, type HeartbeatSeen, type Member, type ProbeAnswer, Watch, type Watched } from './watched.ts'

export type SupervisorEvent =
  | ({ readonly type: 'heartbeat' } & HeartbeatSeen)
  /** At least every 100 ms. `lagMs`: by how much later than planned it comes. */
  | { readonly type: 'tick'; readonly nowMs: number; readonly lagMs: number; readonly connected: boolean }
  /** The live incarnations of the ledger, all of them; on every change, and now and then for the numbers of tasks. */
  | { readonly type: 'members'; readonly members: readonly Member[]; readonly nowMs: number }
  | { readonly type: 'probed'; readonly incarnation: string; readonly answer: ProbeAnswer; readonly nowMs: number }
  | { readonly type: 'fence.stored'; readonly incarnation: string }
  | { readonly type: 'lead' }
  | { readonly type: 'stand.by' }
  // what the machine tells itself after each tick
  | { readonly type: 'sight.clear' }
  | { readonly type: 'sight.dim' }
  | { readonly type: 'sight.blind' }
  | { readonly type: 'judge'; readonly nowMs: number }

export type SupervisorEffect =
  /** Ask the node whether it is there; the answer comes back as `probed`. */
  | { readonly kind: 'probe'; readonly node: string; readonly incarnation: string }
  /** Write the fence, again and again until it is stored, while leading and not spared. */
  | { readonly kind: 'fence'; readonly node: string; readonly incarnation: string; readonly verdict: Verdict }
  /** It was heard again: give the fence up, unless it is stored already. */
  | { readonly kind: 'spare'; readonly node: string; readonly incarnation: string }
  /** Tell an incarnation that beats but is not live that it is fenced. */
  | { readonly kind: 'tell-fenced'; readonly node: string; readonly incarnation: string; readonly reason: string }
  | { readonly kind: 'status'; readonly status: HealthStatus; readonly verdict: Verdict }
  | { readonly kind: 'sight'; readonly sight: 'clear' | 'dim' | 'blind'; readonly hold: Hold | undefined }

export interface SupervisorInput {
  readonly ask: (effect: SupervisorEffect) => void
  readonly settings?: Partial<SupervisionSettings>
}

interface SupervisorContext {
  readonly ask: (effect: SupervisorEffect) => void
  readonly settings: SupervisionSettings
  readonly watch: Watch
  readonly hold: Hold | undefined
  /** When the present lagging began, and until when its last lag still counts. */
  readonly lagSinceMs: number | undefined
  readonly lagUntilMs: number
  /** The last silence of many, kept until things have settled, and through a passing lag of the supervisor. */
  readonly silence: MassSilence | undefined
}

export const supervisorMachine = setup({
  types: {
    input: {} as SupervisorInput,
    context: {} as SupervisorContext,
    events: {} as SupervisorEvent,
  },
  actions: {
    follow: ({ context, event }) => {
      if (event.type === 'members') context.watch.members(event.members, event.nowMs)
    },
    hear: ({ context, event }) => {
      if (event.type === 'heartbeat') spare(context, context.watch.heartbeat(event))
      if (event.type === 'probed') {
        const watched = context.watch.probed(event.incarnation, event.answer, event.nowMs)
        if (event.answer === 'alive') spare(context, watched)
      }
    },
    fenced: ({ context, event }) => {
      const watched = event.type === 'fence.stored' ? context.watch.nodes.get(event.incarnation) : undefined
      if (watched) watched.fenced = true
    },
    look: enqueueActions(({ context, event, enqueue }) => {
      if (event.type !== 'tick') return
      const seen = look(context, event)
      enqueue.assign(seen)
      const sight = sightOf(seen.hold)
      if (sight !== sightOf(context.hold)) enqueue.raise({ type: `sight.${sight}` })
      enqueue.raise({ type: 'judge', nowMs: event.nowMs })
    }),
    sayStatuses: ({ context, event }) => {
      if (event.type === 'judge') judgeAll(context, event.nowMs, false)
    },
    act: ({ context, event }) => {
      if (event.type === 'judge') judgeAll(context, event.nowMs, true)
    },
    forgetFences: ({ context }) => {
      for (const watched of context.watch.nodes.values()) {
        watched.fenceAskedAtMs = undefined
        watched.probing = false
      }
    },
    saySight: ({ context }) => context.ask({ kind: 'sight', sight: sightOf(context.hold), hold: context.hold }),
  },
}).createMachine({
  id: 'supervisor',
  type: 'parallel',
  context: ({ input }) => {
    const settings = { ...defaultSupervision, ...input.settings }
    return {
      ask: input.ask,
      settings,
      watch: new Watch(settings),
      hold: undefined,
      lagSinceMs: undefined,
      lagUntilMs: Number.NEGATIVE_INFINITY,
      silence: undefined,
    }
  },
  on: {
    members: { actions: 'follow' },
    heartbeat: { actions: 'hear' },
    probed: { actions: 'hear' },
    'fence.stored': { actions: 'fenced' },
    tick: { actions: 'look' },
  },
  states: {
    sight: {
      initial: 'clear',
      on: {
        'sight.clear': { target: '.clear', actions: 'saySight' },
        'sight.dim': { target: '.dim', actions: 'saySight' },
        'sight.blind': { target: '.blind', actions: 'saySight' },
      },
      states: { clear: {}, dim: {}, blind: {} },
    },
    role: {
      initial: 'standby',
      states: {
        standby: {
          on: { lead: 'leading', judge: { actions: 'sayStatuses' } },
        },
        leading: {
          entry: 'forgetFences',
          exit: 'forgetFences',
          on: { 'stand.by': 'standby', judge: { actions: 'act' } },
        },
      },
    },
  },
})

function sightOf(hold: Hold | undefined): 'clear' | 'dim' | 'blind' {
  if (hold === undefined) return 'clear'
  return hold.cause === 'disconnected' ? 'blind' : 'dim'
}

/** What the supervisor may trust from this tick on. Changes the detectors where time did not count. */
function look(
  context: SupervisorContext,
  tick: { nowMs: number; lagMs: number; connected: boolean },
): Pick<SupervisorContext, 'hold' | 'lagSinceMs' | 'lagUntilMs' | 'silence'> {
  const { settings, watch, hold } = context
  const { nowMs, lagMs } = tick
  if (tick.connected && hold?.cause === 'disconnected') watch.restart(nowMs)
  // Small lags are not taken off: a process that is merely busy would see every silence too short.
  const lagging = lagMs >= settings.ownLagMs
  if (lagging) watch.excuse(lagMs, nowMs)
  const lagUntilMs = lagging ? nowMs + settings.lagHoldMs : context.lagUntilMs
  const lagSinceMs = nowMs > lagUntilMs ? undefined : (context.lagSinceMs ?? nowMs)
  // A supervisor that lags all the time must still fence: its lag is taken off every silence anyway.
  const distrust = lagSinceMs !== undefined && nowMs - lagSinceMs < settings.lagHoldMsMax

  const silence = tick.connected ? massSilence(watch.nodes.values(), context.silence, settings, nowMs) : undefined
  return { hold: holdFor(), lagSinceMs, lagUntilMs, silence }

  function holdFor(): Hold | undefined {
    const sinceMs = hold?.sinceMs ?? nowMs
    if (!tick.connected) return { cause: 'disconnected', sinceMs, silent: 0, heard: 0 }
    if (distrust) return { cause: 'own-lag', sinceMs: lagSinceMs, silent: 0, heard: 0 }
    return silence
  }
}

function judgeAll(context: SupervisorContext, nowMs: number, leading: boolean): void {
  const { watch, hold, settings, ask } = context
  if (hold?.cause === 'disconnected') return
  for (const watched of watch.nodes.values()) {
    if (watched.fenced) continue
    const verdict = judge(watched, hold, settings, nowMs)
    if (verdict.status !== watched.status) {
      watched.status = verdict.status
      ask({ kind: 'status', status: verdict.status, verdict })
    }
    if (leading) act(context, watched, verdict, nowMs)
  }
  if (!leading) return
  for (const { node, incarnation } of watch.strangersToTell(nowMs)) {
    ask({ kind: 'tell-fenced', node, incarnation, reason: 'the ledger does not count this incarnation as live' })
  }
}

function act({ ask, settings }: SupervisorContext, watched: Watched, verdict: Verdict, nowMs: number): void {
  const { node, incarnation } = watched
  if (verdict.decision === 'fence') {
    const again = nowMs - (watched.fenceAskedAtMs ?? Number.NEGATIVE_INFINITY) >= settings.fenceAgainMs
    if (!again) return
    watched.fenceAskedAtMs = nowMs
    ask({ kind: 'fence', node, incarnation, verdict })
    return
  }
  // A held verdict is probed on: proof that the process is gone shortens the hold.
  const due = watched.probing ? 2 * settings.probeTimeoutMs : settings.probeGapMs
  if (verdict.status !== 'suspect' || nowMs - watched.probedAtMs < due) return
  watched.probing = true
  watched.probedAtMs = nowMs
  ask({ kind: 'probe', node, incarnation })
}

/** A node that was to be fenced for its silence is heard again. One that is stuck beats anyway: that changes nothing. */
function spare({ ask, settings }: SupervisorContext, watched: Watched | undefined): void {
  if (watched?.fenceAskedAtMs === undefined || watched.fenced || watched.tickAgeMs >= settings.stuckFenceMs) return
  watched.fenceAskedAtMs = undefined
  ask({ kind: 'spare', node: watched.node, incarnation: watched.incarnation })
}
