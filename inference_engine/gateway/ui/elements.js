// The elements that the page is built from.
// Labels, ids and errors come from users: text is set only by textContent, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const node = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value === null || value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// Children in the order of `wanted`; adding or removing one leaves the others in place.
export function arrange(parent, wanted) {
  const stay = new Set(wanted);
  for (const node of [...parent.children]) if (!stay.has(node)) node.remove();
  let next = parent.firstElementChild;
  for (const node of wanted) {
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}

// A list of `[name, value, wide]`, in which only values change.
export function facts(list, told) {
  const names = told.map(([name]) => name).join();
  if (list.names !== names) {
    list.names = names;
    list.replaceChildren(...told.map(([name, , wide]) => make("div", { class: wide ? "wide" : null }, make("dt", {}, name), make("dd"))));
  }
  told.forEach(([, value], index) => setText(list.children[index].lastElementChild, value));
}
