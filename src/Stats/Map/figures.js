// The figures of the last minutes, each with a small plot.

const samples = 300 // Seconds.

const series = [
  { name: 'people', label: 'People', lines: [{ key: 'people', colour: '--accent' }] },
  { name: 'islands', label: 'Islands', lines: [{ key: 'islands', colour: '--accent' }] },
  { name: 'heartbeats', label: 'Heartbeats a second', lines: [{ key: 'heartbeats', colour: '--accent' }] },
  { name: 'flush', label: 'Regrouping, ms', digits: 2, lines: [{ key: 'flush', colour: '--accent' }] },
  {
    name: 'changes', label: 'Changes of island a second', digits: 1,
    lines: [{ key: 'newcomers', colour: '--good', label: 'new' }, { key: 'merges', colour: '--warn', label: 'merged' }, { key: 'splits', colour: '--full', label: 'split' }, { key: 'moves', colour: '--accent', label: 'crowd' }],
  },
  { name: 'recall', label: 'Neighbours together, %', lines: [{ key: 'recall', colour: '--good' }] },
]

export class Figures {
  constructor(list) {
    this.rows = series.map((one) => {
      const label = document.createElement('dt')
      label.textContent = one.label
      for (const line of one.lines.filter((l) => l.label)) {
        const swatch = document.createElement('span')
        swatch.className = 'swatch'
        swatch.style.background = `var(${line.colour})`
        const name = document.createElement('span')
        name.className = 'line'
        name.append(swatch, line.label)
        label.append(name)
      }
      const value = document.createElement('dd')
      value.id = one.name
      value.textContent = '–'
      const holder = document.createElement('dd')
      holder.className = 'plot'
      const canvas = holder.appendChild(document.createElement('canvas'))
      list.append(label, value, holder)
      return { ...one, value, canvas, values: one.lines.map(() => []) }
    })
    this.heartbeats = undefined
    this.flush = {}
  }

  // Takes what an event says of the world as a whole.
  hear(frame) {
    Object.assign(this, { heartbeats: frame.heartbeats, time: frame.time })
    if (frame.flush) this.flush = frame.flush
    if (frame.leader !== undefined) this.lead(frame.leader)
  }

  // Of several Services: who leads, since when and why, and who stands by.
  lead(leader) {
    const line = document.getElementById('leader')
    line.hidden = leader === null
    if (leader === null) return
    const since = new Date(leader.since).toLocaleTimeString('en-GB')
    const standbys = leader.standbys.map((s) => `${s.node}, ${s.ready ? `${Math.round(s.lagMs)} ms behind` : 'not ready'}`)
    line.textContent = `Led by ${leader.node} since ${since} (term ${leader.term}, ${leader.cause}). ${standbys.length === 0 ? 'Nobody stands by.' : `Standing by: ${standbys.join('; ')}.`}`
  }

  // Once a second: notes the figures and draws them.
  beat(people, islands) {
    // Between two words of the stream the rate stays; one that counts anew comes from another process.
    const [seconds, beats] = [(this.time - this.lastTime) / 1000, this.heartbeats - this.lastHeartbeats]
    if (seconds > 0 && beats >= 0) this.rate = beats / seconds
    if (seconds !== 0) [this.lastTime, this.lastHeartbeats] = [this.time, this.heartbeats]
    const { flush } = this
    const perSecond = (count) => (flush.seconds > 0 ? count / flush.seconds : 0)
    const now = {
      people, islands, heartbeats: this.rate ?? 0, flush: flush.flushMs ?? 0,
      newcomers: perSecond(flush.newcomers), merges: perSecond(flush.merges), splits: perSecond(flush.splits), moves: perSecond(flush.crowdMoves),
      recall: (flush.neighbourRecall ?? NaN) * 100,
    }
    for (const row of this.rows) {
      let total = 0
      row.lines.forEach(({ key }, i) => {
        total += now[key]
        row.values[i].push(now[key])
        if (row.values[i].length > samples) row.values[i].shift()
      })
      row.value.textContent = Number.isNaN(total) ? '–' : total.toLocaleString('en', { maximumFractionDigits: row.digits ?? 0 })
      this.plot(row)
    }
  }

  plot({ canvas, lines, values }) {
    const [width, height] = [canvas.clientWidth, canvas.clientHeight]
    if (width === 0) return
    const ratio = Math.min(2, devicePixelRatio || 1)
    ;[canvas.width, canvas.height] = [width * ratio, height * ratio]
    const context = canvas.getContext('2d')
    context.scale(ratio, ratio)
    const most = Math.max(1e-9, ...values.flat().filter(Number.isFinite))
    const style = getComputedStyle(canvas)
    lines.forEach((line, i) => {
      context.strokeStyle = context.fillStyle = resolve(canvas, style, line.colour)
      context.lineWidth = 1.5
      context.beginPath()
      values[i].forEach((value, at) => Number.isFinite(value) && context.lineTo(width - ((values[i].length - 1 - at) * width) / (samples - 1), height - 2 - (value / most) * (height - 5)))
      context.stroke()
      if (lines.length > 1) return
      context.lineTo(width, height)
      context.lineTo(width - ((values[i].length - 1) * width) / (samples - 1), height)
      context.globalAlpha = 0.12
      context.fill()
      context.globalAlpha = 1
    })
  }
}

function resolve(element, style, variable) {
  element.style.color = `var(${variable})`
  return style.color
}
