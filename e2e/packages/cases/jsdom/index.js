const { JSDOM } = require('jsdom');
module.exports = async () => {
  const { window } = new JSDOM('<title>T</title><style>.h{display:none}</style><p class=h></p><button></button><div id=d></div><script>document.getElementById("d").innerHTML = "<b>made</b>"</script>', { runScripts: 'dangerously' });
  const { document } = window;
  let clicked = 0;
  document.body.addEventListener('click', () => clicked++);
  document.querySelector('button').click();
  document.querySelector('button').dispatchEvent(new window.MouseEvent('click', { bubbles: true }));
  return { title: document.title, clicked, computed: window.getComputedStyle(document.querySelector('p')).display, script: document.getElementById('d').innerHTML };
};
