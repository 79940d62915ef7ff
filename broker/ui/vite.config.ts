// Builds the dashboard into dist/, under fixed names, so that the broker can embed the files without node.
import { defineConfig } from 'vite';

// A broker to develop against: `windlass serve` listens here.
const broker = 'http://127.0.0.1:7521';

export default defineConfig({
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: ['chrome123', 'firefox120', 'safari17.5'],
    modulePreload: false,
    reportCompressedSize: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: { entryFileNames: 'app.js', chunkFileNames: ({ name }) => `${name.toLowerCase()}.js`, assetFileNames: 'app.[ext]' },
    },
  },
  server: {
    proxy: {
      // The broker takes changes from its own origin only.
      '/v1': { target: broker, changeOrigin: true, headers: { origin: broker } },
      '/metrics': { target: broker, changeOrigin: true },
    },
  },
});
