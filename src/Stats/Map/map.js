// The page: keeps the stream open, draws when something moves, and does what the person at the screen asks for.

import { Camera } from './camera.js'
import { Figures } from './figures.js'
import { Picture } from './picture.js'
import { World } from './world.js'

const $ = (id) => document.getElementById(id)
const canvas = $('world')
const world = new World()
const camera = new Camera()
const picture = new Picture(canvas, world, camera)
const figures = new Figures($('plots'))
const selected = { slot: undefined, id: undefined, island: undefined, islandId: undefined, follows: false }
let frames = 0
let drawUntil = 0
let placed = camera.goTo(location.hash)
let source
let hashTimer

// People are on their way for a second after each word of them; after that the picture stands still and costs nothing.
const stir = () => {
  const idle = drawUntil < performance.now()
  drawUntil = performance.now() + 1100
  if (idle) requestAnimationFrame(frame)
}

function frame(now) {
  if (selected.follows && selected.slot !== undefined) {
    const { x, z } = world.at(selected.slot, now, { x: 0, z: 0 })
    if (Number.isFinite(x) && Number.isFinite(z)) Object.assign(camera, { x, z })
  }
  picture.draw(now, selected)
  frames++
  if (now < drawUntil) requestAnimationFrame(frame)
}

// The stream.

function connect() {
  source = new EventSource('stream')
  for (const kind of ['world', 'changes'])
    source.addEventListener(kind, ({ data }) => {
      const told = JSON.parse(data)
      world.apply(kind, told, performance.now())
      figures.hear(told)
      show(told.healthy ? 'live' : 'sick')
      if (kind === 'world') {
        find()
        figures.beat(world.people, world.islands.size)
      }
      if (!placed && world.people > 0) {
        picture.resize()
        showAll()
      }
      stir()
    })
  source.onerror = () => {
    show('lost')
    // A browser gives up on an answer that is no stream, such as that there are too many.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000)
  }
}

function showAll() {
  const wide = innerWidth > 700
  camera.fit(world.bounds() ?? { x1: 0, z1: 0, x2: 0, z2: 0 }, { left: 70, right: wide ? 310 : 30, top: 90, bottom: wide ? 40 : 90 })
  placed = true
}

const words = { connecting: 'connecting', live: 'live', sick: 'Service silent', lost: 'connection lost' }
function show(state) {
  $('state').className = state
  $('state').textContent = words[state]
  $('banner').hidden = state !== 'lost'
  $('banner').textContent = 'Connection lost. Trying again; the picture is as it was.'
}

setInterval(() => {
  figures.beat(world.people, world.islands.size)
  detail()
}, 1000)

// What is chosen.

function choose({ id, islandId, follows = false }) {
  Object.assign(selected, { id, islandId, follows })
  find()
  detail()
  stir()
}

// The stream may have begun anew, or people moved to other islands; what is chosen is chosen by name.
function find() {
  selected.slot = selected.id === undefined ? undefined : world.byId.get(selected.id)
  selected.island = selected.slot !== undefined ? world.island[selected.slot] : selected.islandId === undefined ? undefined : world.islands.get(selected.islandId)
}

function element(name, text, className) {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = text
  if (className) made.className = className
  return made
}

function link(text, action) {
  const button = element('button', text, 'link')
  button.addEventListener('click', action)
  return button
}

function detail() {
  find()
  const box = $('details')
  box.hidden = selected.id === undefined && selected.islandId === undefined
  if (box.hidden) return
  const close = element('button', '×', 'close')
  close.setAttribute('aria-label', 'Close')
  close.addEventListener('click', () => choose({}))
  const parts = [close]
  if (selected.id !== undefined) {
    parts.push(element('h2', selected.id))
    if (selected.slot === undefined) {
      parts.push(element('p', 'is not here any more.'))
    } else {
      const [x, z] = [world.x[selected.slot], world.z[selected.slot]]
      parts.push(element('p', `parcel ${Math.floor(x / 16)},${Math.floor(z / 16)}, at ${x.toFixed(1)} / ${z.toFixed(1)}${selected.follows ? ', followed' : ''}`))
      const { near, together } = world.company(selected.slot)
      parts.push(element('p', `${together} of the ${near} nearest are in the same island.`))
      const { island } = selected
      parts.push(island ? link(`island ${island.id}, ${island.members.length} of ${island.max}`, () => choose({ islandId: island.id })) : element('p', 'on no island yet.'))
    }
  } else {
    const { island } = selected
    parts.push(element('h2', `Island ${selected.islandId}`))
    if (!island) parts.push(element('p', 'is not there any more.'))
    else {
      parts.push(element('p', `${island.members.length} of ${island.max}, radius ${(island.radius ?? 0).toFixed(1)} m`))
      const list = element('ul')
      const shown = island.members.filter((slot) => world.here[slot]).slice(0, 200)
      for (const id of shown.map((slot) => world.ids[slot])) {
        const entry = element('li')
        entry.append(link(id, () => choose({ id, follows: true })))
        list.append(entry)
      }
      parts.push(list)
    }
  }
  // Rebuilt once a second: what has the focus keeps its place in the list.
  const scrolled = box.querySelector('ul')?.scrollTop ?? 0
  const focused = [...box.querySelectorAll('button')].indexOf(document.activeElement)
  box.replaceChildren(...parts)
  if (box.querySelector('ul')) box.querySelector('ul').scrollTop = scrolled
  if (focused >= 0) box.querySelectorAll('button')[focused]?.focus()
}

// Finds an address, or its beginning, an island, or a parcel; false when there is none.
function search(text) {
  const query = text.trim()
  const at = /^(-?\d+)\s*,\s*(-?\d+)$/.exec(query)
  if (at) {
    Object.assign(camera, { x: Number(at[1]) * 16 + 8, z: Number(at[2]) * 16 + 8, scale: Math.max(camera.scale, 3) })
    choose({})
    remember()
    return true
  }
  if (query === '') return false
  const island = world.islands.get(query)
  if (island) {
    Object.assign(camera, { x: island.x, z: island.z, scale: Math.max(camera.scale, 2) })
    choose({ islandId: island.id })
    remember()
    return true
  }
  const wanted = query.toLowerCase()
  const id = world.byId.has(query) ? query : [...world.byId.keys()].find((known) => known.toLowerCase().startsWith(wanted))
  if (id === undefined) return false
  camera.scale = Math.max(camera.scale, 3)
  choose({ id, follows: true })
  return true
}

// The pointer: one finger or button moves, two fingers zoom.

const pointers = new Map()
let travelled = 0

function pointed(event) {
  const { x, z } = camera.toWorld(event.offsetX, event.offsetY)
  const slot = world.nearest(x, z, 10 / camera.scale, performance.now())
  if (slot !== undefined) return { slot, island: world.island[slot] }
  let island
  for (const one of world.islands.values()) {
    const apart = Math.hypot(one.x - x, one.z - z)
    if (apart <= Math.max(one.radius ?? 0, 8 / camera.scale) && (!island || one.radius < island.radius)) island = one
  }
  return { island }
}

canvas.addEventListener('pointerdown', (event) => {
  canvas.setPointerCapture(event.pointerId)
  pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY })
  travelled = 0
})
canvas.addEventListener('pointermove', (event) => {
  const before = pointers.get(event.pointerId)
  if (!before) return hover(event)
  const [x, y] = [event.offsetX, event.offsetY]
  travelled += Math.hypot(x - before.x, y - before.y)
  if (pointers.size === 1) {
    camera.pan(x - before.x, y - before.y)
    if (travelled > 4) selected.follows = false
    canvas.classList.add('dragging')
  } else {
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1]
    camera.zoom(Math.hypot(x - other.x, y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y)), (x + other.x) / 2, (y + other.y) / 2)
  }
  pointers.set(event.pointerId, { x, y })
  moved()
})
for (const kind of ['pointerup', 'pointercancel'])
  canvas.addEventListener(kind, (event) => {
    pointers.delete(event.pointerId)
    canvas.classList.remove('dragging')
    if (kind === 'pointercancel' || travelled > 4) return
    const { slot, island } = pointed(event)
    if (slot !== undefined) choose({ id: world.ids[slot], follows: true })
    else choose({ islandId: island?.id })
  })
canvas.addEventListener('pointerleave', () => ($('tooltip').hidden = true))
canvas.addEventListener('wheel', (event) => {
  event.preventDefault()
  camera.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.offsetX, event.offsetY)
  moved()
}, { passive: false })
canvas.addEventListener('dblclick', (event) => {
  camera.zoom(2, event.offsetX, event.offsetY)
  moved()
})

function hover(event) {
  const { slot, island } = pointed(event)
  const tip = $('tooltip')
  canvas.classList.toggle('pointing', slot !== undefined || island !== undefined)
  tip.hidden = slot === undefined && !island
  if (tip.hidden) return
  const about = island ? `island ${island.id}, ${island.members.length} of ${island.max}` : 'on no island yet'
  tip.textContent = slot === undefined ? about : `${world.ids[slot]}\n${about}`
  tip.style.transform = `translate(${Math.min(event.offsetX + 14, camera.width - 330)}px, ${Math.min(event.offsetY + 14, camera.height - 60)}px)`
}

// Keys and buttons.

const fit = () => {
  selected.follows = false
  showAll()
  moved()
}
const zoom = (factor) => {
  camera.zoom(factor)
  moved()
}
const theme = () => {
  const root = document.documentElement
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  root.dataset.theme = dark ? 'light' : 'dark'
  localStorage.setItem('theme', root.dataset.theme)
  picture.readColours()
  stir()
}
const company = () => {
  picture.byCompany = !picture.byCompany
  $('company').setAttribute('aria-pressed', String(picture.byCompany))
  $('shares').hidden = !picture.byCompany
  for (const swatch of document.querySelectorAll('.share')) swatch.style.background = picture.shares[swatch.dataset.share]
  stir()
}
const step = (x, y) => () => {
  selected.follows = false
  camera.pan(x, y)
  moved()
}
const keys = {
  '+': () => zoom(1.4), '=': () => zoom(1.4), '-': () => zoom(1 / 1.4), f: fit, 0: fit, c: company, t: theme,
  ArrowLeft: step(80, 0), ArrowRight: step(-80, 0), ArrowUp: step(0, 80), ArrowDown: step(0, -80),
  '/': () => $('query').focus(), Escape: () => choose({}),
}
addEventListener('keydown', (event) => {
  const typing = event.target === $('query')
  if (typing && event.key !== 'Escape') return
  if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return
  event.preventDefault()
  if (typing) canvas.focus()
  keys[event.key]()
})
$('zoom-in').addEventListener('click', () => zoom(1.6))
$('zoom-out').addEventListener('click', () => zoom(1 / 1.6))
$('fit').addEventListener('click', fit)
$('company').addEventListener('click', company)
$('theme').addEventListener('click', theme)
$('fold').addEventListener('click', () => {
  $('figures').hidden = !$('figures').hidden
  $('fold').setAttribute('aria-expanded', String(!$('figures').hidden))
})
$('search').addEventListener('submit', (event) => {
  event.preventDefault()
  $('query').classList.toggle('nothing', !search($('query').value))
})
$('query').addEventListener('input', () => $('query').classList.remove('nothing'))

// The address of the page is the address of the place.

function moved() {
  placed = true
  remember()
  stir()
}
function remember() {
  clearTimeout(hashTimer)
  hashTimer = setTimeout(() => history.replaceState(null, '', camera.hash), 300)
}
addEventListener('hashchange', () => {
  if (camera.goTo(location.hash)) moved()
})
addEventListener('resize', stir)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  picture.readColours()
  stir()
})

if (localStorage.getItem('theme')) document.documentElement.dataset.theme = localStorage.getItem('theme')
picture.readColours()
if (innerWidth <= 700) $('fold').click()
picture.resize()
connect()
stir()

// For those who look at the map with a program.
globalThis.liveMap = {
  world,
  camera,
  get frames() {
    return frames
  },
  screenOf(id) {
    const { x, z } = world.at(world.byId.get(id), performance.now(), { x: 0, z: 0 })
    return { x: camera.toScreenX(x), y: camera.toScreenY(z) }
  },
}
