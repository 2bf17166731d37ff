// ui, pages: container images on the host: those that are there, pulls under way, and their removal. The form that asks for a
// pull is in pull-form.tsx.

import { useEffect } from 'preact/hooks';
import type { Image, ImageList } from '../../../src/client/types.ts';
import { bytes } from '../../base/amounts.ts';
import { api } from '../../data/api.ts';
import { followImages, type Pull, readImages } from '../../data/images.ts';
import { isUnknownRoute, useSamples } from '../../data/samples.ts';
import { confirm } from '../../parts/dialog.tsx';
import { TimeAgo } from '../../parts/time-ago.tsx';
import { tellProgress } from '../../parts/toasts.tsx';
import { PullForm } from './pull-form.tsx';

export function ContainerImages() {
  const { samples, error, readNow } = useSamples('images', readImages);
  useEffect(() => followImages(readNow), []);
  const latest = samples.at(-1)?.value;
  if (isUnknownRoute(error)) {
    return (
      <>
        <h2>Container images</h2>
        <p class="dim">This daemon has no container images.</p>
      </>
    );
  }
  return (
    <>
      <h2>Container images</h2>
      <PullForm />
      {error !== null && <p class="notice">The images cannot be read: {error.message}</p>}
      {latest !== undefined && <ImageTable {...latest} />}
    </>
  );
}

function ImageTable({ images, pulls }: ImageList) {
  return (
    <>
      {pulls.map((pull) => (
        <Pulling key={pull.image} pull={pull} />
      ))}
      {images.length === 0 && pulls.length === 0 && <p class="dim">There are none on this host.</p>}
      {images.length > 0 && (
        <div class="scroll">
          <table class="plain">
            <thead>
              <tr>
                <th scope="col">Image</th>
                <th scope="col">Used</th>
                <th scope="col" class="end">
                  On disk
                </th>
                <th scope="col">Made</th>
                <th scope="col">
                  <span class="hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {images.map((image) => (
                <ImageRow key={image.digest} image={image} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function ImageRow({ image }: { readonly image: Image }) {
  const { names, digest, in_use, disk_bytes, created_at } = image;
  return (
    <tr>
      <th scope="row">
        {names.join(', ') || 'no name'}
        <div class="mono dim digest">{digest}</div>
      </th>
      <td>{in_use ? 'by VMs' : 'no'}</td>
      <td class="end">{bytes(disk_bytes)}</td>
      <td>
        <TimeAgo at={created_at} />
      </td>
      <td class="end">
        <button
          type="button"
          class="danger"
          aria-label={`Remove ${names[0] ?? digest}`}
          onClick={() => void remove(image)}
        >
          Remove
        </button>
      </td>
    </tr>
  );
}

async function remove({ names, digest, in_use }: Image): Promise<void> {
  const label = names[0] ?? digest;
  const used = in_use ? 'VMs are made of it, and the daemon keeps what they need. ' : '';
  const text = `${used}Its root disk and all its names go. A VM that needs it pulls it again.`;
  const question = { title: `Remove ${label}?`, text, action: 'Remove', isDangerous: true };
  if (!(await confirm(question))) return;
  await tellProgress(
    `Removing ${label}…`,
    () => api().images.remove(digest),
    () => `Removed ${label}`,
  );
}

function Pulling({ pull: { image, received_bytes, total_bytes } }: { readonly pull: Pull }) {
  return (
    <p>
      Pulling {image}: {bytes(received_bytes)}
      {total_bytes !== undefined && ` of ${bytes(total_bytes)}`}
      <progress
        class="wide"
        aria-label={`Pulled of ${image}`}
        {...(total_bytes === undefined ? {} : { value: received_bytes, max: total_bytes })}
      />
    </p>
  );
}
