const { createSSRApp, ref, computed } = require('vue');
const { renderToString } = require('@vue/server-renderer');
module.exports = async () => (await renderToString(createSSRApp({
  template: '<p>{{ n }} items</p><ul><li v-for="x in l">{{ x }}</li></ul>',
  setup() { const m = ref(3); return { n: computed(() => m.value * 2), l: ['a', 'b'] }; },
}))).replace(/<!--[[\]]-->/g, '');
