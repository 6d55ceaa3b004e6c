'use strict';
const { createSSRApp, inject } = require('vue');
const pinia = require('pinia').createPinia();
const app = createSSRApp({});
app.use(pinia); // fails with two Vues
module.exports = { same: app.config.globalProperties.$pinia === pinia };
