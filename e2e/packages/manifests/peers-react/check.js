'use strict';
const React = require('react');
const { renderToString } = require('react-dom/server');
const { Provider, useSelector } = require('react-redux');
const { configureStore } = require('@reduxjs/toolkit');
const Shown = () => React.createElement('p', null, useSelector(s => s.n)); // fails with two Reacts
module.exports = { html: renderToString(React.createElement(Provider, { store: configureStore({ reducer: () => ({ n: 7 }) }) }, React.createElement(Shown))) };
