/**
 * Removes large values that nothing needs any more. An object is needed as long as a message that is in the log of some
 * partition refers to it, or while it is young, for who stored it may be about to write that message. What that message says,
 * and whether it counted, does not matter here.
 *
 * An object goes when two looks in a row found nothing that refers to it, and nobody renewed it in between: what is being
 * brought from one log to another may be missed by one look, between the two logs.
 */
import type { Logger } from 'pino'
import type { ObjectReferences } from '../../actors/ledger/object-references.ts'
import type { Log, ObjectStore, StoredObject } from '../../nats/bus.ts'
import type { LedgerReader } from './ledger-reader.ts'

export interface ObjectSweepOptions {
  readonly objects: ObjectStore
  /** Of every partition. */
  readonly partitions: readonly { readonly log: Log; readonly reader: LedgerReader }[]
  /** Whether it is for this process to remove objects: one of all does. */
  readonly isInCharge: () => boolean
  readonly logger: Logger
  /** Between two looks, ms; a tenth of it while the store is more than half full. Default 10 minutes. */
  readonly everyMs?: number
  /** Younger objects stay, ms. Far longer than from storing one to writing what refers to it. Default a day. */
  readonly ageMs?: number
  /** The same while the store is more than half full. Default 15 minutes. */
  readonly tightAgeMs?: number
}

const tightAt = 0.5
const atOnce = 16
/** What uploads that broke off have left is looked for so often, in looks. */
const looksPerTidying = 6
const leftoversAgeMs = 24 * 3_600_000

/** What a partition's log, from its first message on, refers to. */
interface References {
  readonly objects: ObjectReferences
  readonly from: number
}

export class ObjectSweep {
  private readonly options: ObjectSweepOptions
  private timer: NodeJS.Timeout | undefined
  private working: Promise<void> | undefined
  private ticks = 0
  private looks = 0
  /** Objects to which nothing referred at the last look, as they were then. */
  private unneeded: ReadonlyMap<string, StoredObject> = new Map()

  constructor(options: ObjectSweepOptions) {
    this.options = options
  }

  start(): void {
    const { everyMs = 10 * 60_000 } = this.options
    this.timer = setInterval(() => {
      this.working ??= this.tick().finally(() => {
        this.working = undefined
      })
    }, everyMs / 10)
  }

  async stop(): Promise<void> {
    clearInterval(this.timer)
    await this.working
  }

  /** Never throws. */
  private async tick(): Promise<void> {
    const { isInCharge, objects, logger } = this.options
    const isDue = this.ticks++ % 10 === 0
    try {
      if (!isInCharge()) {
        this.unneeded = new Map()
        if (isDue) await this.references()
        return
      }
      const { bytes, bytesMax, serverTimeMs } = await objects.usage()
      const isTight = bytesMax > 0 && bytes >= bytesMax * tightAt
      if (!isDue && !isTight) return
      const { ageMs = 24 * 3_600_000, tightAgeMs = 15 * 60_000 } = this.options
      await this.look(serverTimeMs - (isTight ? tightAgeMs : ageMs))
      if (isDue && this.looks++ % looksPerTidying === 0) await objects.removeLeftovers(serverTimeMs - leftoversAgeMs)
    } catch (error) {
      logger.warn({ err: error }, 'large values that nothing needs were not removed; it is tried again')
    }
  }

  /** Removes those that were last stored before this instant, and that nothing referred to at the last look either. */
  private async look(beforeMs: number): Promise<void> {
    const { objects, logger } = this.options
    const names = await objects.names()
    const references = await this.references()
    if (references === undefined) return
    const isNeeded = (name: string) => references.some(({ objects, from }) => objects.has(name, from))
    const unneeded = new Map<string, StoredObject>()
    const candidates = names.filter((name) => !isNeeded(name))
    let removed = 0
    let bytes = 0
    const judge = async (name: string) => {
      const before = this.unneeded.get(name)
      // Nothing makes an object older.
      const found = before !== undefined && before.storedAtMs >= beforeMs ? before : await objects.find(name)
      if (found === undefined) return
      const isOld = found.storedAtMs < beforeMs && before?.sequence === found.sequence
      if (!isOld || isNeeded(name) || !this.options.isInCharge()) unneeded.set(name, found)
      else if (await objects.remove(found)) {
        removed++
        bytes += found.bytes
      }
    }
    for (let at = 0; at < candidates.length; at += atOnce) {
      await Promise.all(candidates.slice(at, at + atOnce).map(judge))
    }
    this.unneeded = unneeded
    if (removed > 0) logger.info({ objects: removed, bytes }, 'large values that nothing needs were removed')
  }

  /** Undefined if they are not all known: of a ledger that is being loaded, or whose checkpoint was saved without them. */
  private async references(): Promise<References[] | undefined> {
    const all: References[] = []
    for (const { log, reader } of this.options.partitions) {
      const { firstSequence, lastSequence } = await log.info()
      if (!reader.live || reader.ledger.outdated) return undefined
      // What was written before what is gone now stands, copied, before the end.
      await reader.reached(lastSequence, 30_000)
      const { objects } = reader.ledger.state
      objects.forgetBefore(firstSequence)
      if (!reader.live || objects.completeFrom > firstSequence) return undefined
      all.push({ objects, from: firstSequence })
    }
    return all
  }
}
