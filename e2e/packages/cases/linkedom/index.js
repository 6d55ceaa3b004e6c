const { parseHTML } = require('linkedom');
module.exports = async () => {
  const { document, customElements, HTMLElement } = parseHTML('<html><body><p>a</p></body></html>');
  customElements.define('x-y', class extends HTMLElement { connectedCallback() { this.setAttribute('ready', ''); } });
  const el = document.createElement('x-y');
  el.textContent = 'b';
  document.body.append(el);
  return document.body.innerHTML;
};
